"""Where does my model sit? One model against the models of a store, from the store's sketch and one checkpoint.

python -m analysis.compare store.uri=data/filters model=resnet18.safetensors out=compare

Its drift to every group of each axis with intervals, the models nearest to it, the quality of its layers as percentiles
of the store's, its degenerate layers. No Ray is started where the store's sketch is there already. From Python::

    from analysis.compare.measure import compare_model
    from analysis.compare.settings import CompareSettings
    from distributed.store.settings import StoreSettings

    report = compare_model(CompareSettings(StoreSettings("data/filters"), model="resnet18.safetensors"))
    report.nearest.to_pandas()
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from analysis.arrays.basis import Basis
from analysis.arrays.types import Float64, Int64
from analysis.compare.files import PERCENTILE_METRICS, AxisPlacement, CompareReport, write_comparison
from analysis.compare.model import MeasuredModel, opened_model
from analysis.compare.settings import CompareSettings
from analysis.compare.terminal import print_comparison
from analysis.measures.drift import divergence_named
from analysis.measures.placement import Ruler, percentiles, place
from analysis.measures.quality import floats, layer_quality
from analysis.measures.uncertainty import Resampling, resampling_of
from analysis.measures.weighting import Weight, model_histograms
from analysis.overrides import quoted_condition
from analysis.scanning.sketching import ScanOptions, Sketch, sketch_of_store
from analysis.scanning.workers import scan_workers
from analysis.selection.conditions import filters_in, models_in
from analysis.selection.grouping import Group, Grouping, group_layers
from analysis.selection.view import StoreView
from analysis.shift.files import writable_folder
from analysis.wording import count, one_line
from distributed.entry import OK, command
from distributed.errors import UserError
from distributed.settings import ExtractSettings

#: Columns of the models' table that say what a near model is, where the store has them.
_DESCRIPTION = ("task", "visual_category", "architecture", "training_dataset", "source")

#: Beyond this share of coefficients outside the store's range the histograms miss part of the model.
_MUCH_OUTSIDE = 0.01


def run(settings: CompareSettings) -> int:
    """The command: measure, write, print; returns the exit code.

    Raises:
        UserError: see ``compare_model``, or ``settings.out`` cannot be written.
    """
    folder = writable_folder(settings.out)
    report = compare_model(settings)
    line = write_comparison(report, folder)
    print_comparison(report, line, Console(highlight=False))
    return OK


def compare_model(settings: CompareSettings) -> CompareReport:
    """Where the model sits. Writes nothing but the sketch that the store keeps, and only if there was none.

    The whole model is compared with groups of models; with groups of layers (depth, is_depthwise …) those of its layers
    that would be in the group. A model that is in the store itself (same content) is left out of what it is compared
    with.

    Raises:
        UserError: the model cannot be had, read or compared; an axis, the condition or the store is not usable.
    """
    resampling = _checked(settings)
    basis = None if settings.basis is None else Basis.read(Path(settings.basis))
    view = StoreView.open(settings.store)
    selected = view.select(settings.where)
    for axis in settings.axes:
        group_layers(selected, axis, max_groups=settings.max_groups)  # so that a wrong one is known at once
    extract = ExtractSettings(prefer_ema=settings.prefer_ema, include_transposed=settings.include_transposed)
    with opened_model(settings.model, extract) as opened:
        options = ScanOptions(workers=partial(scan_workers, settings.cluster))
        sketch = sketch_of_store(view.store, view.layers, bins=settings.bins, basis=basis, options=options)
        model = opened.measure(sketch.basis)
    others, notes = _without_itself(selected, model)
    notes += _on_range(model)
    ruler = Ruler(divergence_named(settings.divergence), sketch.basis)
    layer_columns = set(selected.column_names) - set(view.models.column_names) - {"model_label"}
    axes = []
    for axis in dict.fromkeys(settings.axes):
        by_layer = axis == "depth" or (axis in layer_columns and axis in model.flat.column_names)
        grouping = _grouping(selected, others, axis, settings.max_groups)
        own, own_filters = _own_counts(model, grouping, by_layer, settings.weight)
        placement = place(own, model_histograms(sketch, grouping, settings.weight), ruler, resampling)
        axes.append(AxisPlacement(grouping, placement, own_filters, by_layer, grouping.notes))
    return CompareReport(
        model=model,
        axes=tuple(axes),
        nearest=_nearest(others, sketch, model, ruler, settings.weight),
        layers=_with_percentiles(layer_quality(model.flat), layer_quality(others)),
        store_models=models_in(others),
        store_layers=others.num_rows,
        settings=settings,
        uri=view.store.uri,
        notes=notes,
        origin="" if sketch.report is None else sketch.report.origin,
    )


def _checked(settings: CompareSettings) -> Resampling | None:
    if not settings.axes:
        raise UserError("axes is empty: name at least one, as in 'axes=[task,depth]'")
    if settings.bins < 2:
        raise UserError(f"bins={settings.bins}: a histogram needs at least 2")
    divergence_named(settings.divergence)
    return resampling_of(settings.replicates, settings.level, settings.seed)


def _without_itself(selected: pa.Table, model: MeasuredModel) -> tuple[pa.Table, tuple[str, ...]]:
    """The layers of all other models, and what to note about the model's own place in the store."""
    same = pc.equal(selected.column("model_id"), model.model_id)
    if model.sha256 is not None and "sha256" in selected.column_names:
        same = pc.or_(same, pc.fill_null(pc.equal(selected.column("sha256"), model.sha256), False))
    itself = selected.filter(same)
    if not itself.num_rows:
        return selected, ()
    others = selected.filter(pc.invert(same))
    names = ", ".join(one_line(name) for name in dict.fromkeys(itself.column("model_label").to_pylist()))
    if not others.num_rows or not filters_in(others):
        raise UserError(f"the store (after where, if given) holds no other model than {names}: nothing to compare with")
    return others, (f"the store holds this model itself ({names}, same content): it is left out of every comparison",)


def _on_range(model: MeasuredModel) -> tuple[str, ...]:
    """What to note about coefficients beyond the frozen range of the store's basis."""
    outside = model.sketch.outside
    if not outside:
        return ()
    share = outside / (9 * int(model.sketch.num_filters.sum()))
    text = f"{count(outside, 'coefficient')} ({share:.2g} of all) outside the range of the store's basis: not counted"
    if share > _MUCH_OUTSIDE:
        text += "; the drifts miss that part of the model"
    return (text,)


def _grouping(selected: pa.Table, others: pa.Table, axis: str, max_groups: int) -> Grouping:
    """The groups without the model itself, with a note on groups that held nothing else."""
    grouping = group_layers(others, axis, max_groups=max_groups)
    left = {group.name for group in grouping.groups}
    full = group_layers(selected, axis, max_groups=max_groups) if selected is not others else grouping
    gone = [one_line(group.name) for group in full.groups if group.name not in left]
    if not gone or axis in ("model", "model_id", "layer", "layer_id"):
        return grouping
    note = f"{axis}: no other model than this one in {', '.join(gone)}"
    return Grouping(axis, grouping.groups, grouping.layer_ids, grouping.codes, (*grouping.notes, note))


def _own_counts(model: MeasuredModel, grouping: Grouping, by_layer: bool, weight: Weight) -> tuple[Float64, Int64]:
    """(G, 9, bins) what of the model is compared with each group, and (G,) how many filters that is."""
    number = len(grouping.groups)
    if not by_layer:
        whole = model_histograms(model.sketch, _everything(model), weight).counts
        filters = int(model.sketch.num_filters.sum())
        return np.repeat(whole, number, axis=0), np.full(number, filters, np.int64)
    counts = np.zeros((number, 9, model.sketch.basis.bins))
    filters_of = np.zeros(number, np.int64)
    column = grouping.axis if grouping.axis != "depth" else "conv_depth_norm"
    if model.flat.column(column).null_count == model.flat.num_rows:
        return counts, filters_of
    mine = group_layers(model.flat, grouping.axis, max_groups=model.flat.num_rows)
    found = model_histograms(model.sketch, mine, weight)
    row_of = {group.name: row for row, group in enumerate(grouping.groups)}
    for own, group in enumerate(mine.groups):
        row = row_of.get(group.name)
        if row is not None:
            counts[row] = found.counts[found.group == own].sum(axis=0)
            filters_of[row] = group.filters
    return counts, filters_of


def _everything(model: MeasuredModel) -> Grouping:
    ids = model.flat.column("layer_id").to_numpy()
    group = Group(model.name, one_line(model.name), filters_in(model.flat), len(ids), 1)
    return Grouping("model", (group,), ids, np.zeros(len(ids), np.int64))


def _nearest(others: pa.Table, sketch: Sketch, model: MeasuredModel, ruler: Ruler, weight: Weight) -> pa.Table:
    """Every other model, the nearest first: ``rank, model, drift, filters``, what it is, ``model_id``."""
    grouping = group_layers(others, "model", max_groups=others.num_rows)
    own = model_histograms(model.sketch, _everything(model), weight).counts[0]
    histograms = model_histograms(sketch, grouping, weight)
    drift = ruler.between(own, histograms.counts)
    labels = others.column("model_label").to_pylist()
    first = {label: row for row, label in reversed(list(enumerate(labels)))}
    rows = [first[group.name] for group in grouping.groups]
    columns = {
        "model": pa.array([group.name for group in grouping.groups], pa.string()),
        "drift": pa.array(drift, from_pandas=True),
        "filters": pa.array([group.filters for group in grouping.groups], pa.int64()),
    }
    described = others.select([*(c for c in _DESCRIPTION if c in others.column_names), "model_id"]).take(rows)
    columns |= dict(zip(described.column_names, described.columns, strict=True))
    table = pa.table(columns).sort_by([("drift", "ascending"), ("model", "ascending")])
    return table.add_column(0, "rank", pa.array(range(1, table.num_rows + 1), pa.int64()))


def _with_percentiles(own: pa.Table, among: pa.Table) -> pa.Table:
    """The quality table of the model's layers with ``<metric>_percentile`` columns among the store's layers."""
    for metric in PERCENTILE_METRICS:
        values = percentiles(floats(own, metric), floats(among, metric))
        own = own.append_column(f"{metric}_percentile", pa.array(values, from_pandas=True))
    return own


def main() -> None:
    """Entry point; see ``conf/compare.yaml`` for every setting."""
    sys.argv[1:] = [_quoted_model(argument) for argument in quoted_condition(sys.argv[1:])]
    command("compare", CompareSettings, run)


def _quoted_model(argument: str) -> str:
    """A path as typed, with blanks, brackets and equal signs, is one value to Hydra."""
    if not argument.startswith("model=") or argument[6:7] in ("'", '"', ""):
        return argument
    value = argument.removeprefix("model=").replace("${", r"\${")  # no interpolation: it is a name
    # In Hydra's quotes a quote is escaped by \, and so is each \ directly before it.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), value)
    return f"model='{escaped}'"


if __name__ == "__main__":
    main()
