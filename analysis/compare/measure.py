"""Where one model sits among the models of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64, Int64
from analysis.compare.model import MeasuredModel, measure_model
from analysis.compare.settings import CompareSettings
from analysis.measures.drift import divergence_named
from analysis.measures.layer_quality import degenerate_layers, floats, layer_quality
from analysis.measures.placement import Placement, Ruler, percentiles, place
from analysis.measures.uncertainty import resampling_of
from analysis.measures.weighting import unit_histograms
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.workers import scan_workers
from analysis.selection.attributes import attribute_names
from analysis.selection.axes import DEPTH_AXES
from analysis.selection.grouping import Grouping, group_axes, group_layers, whole
from analysis.selection.view import Extent, StoreView
from analysis.settings import Weight
from analysis.wording import count, listed
from distributed.errors import UserError
from distributed.settings import ExtractSettings
from distributed.single import open_model

#: Metrics given as percentiles of the store's layers, in the order of tables and pictures.
PERCENTILE_METRICS = (
    "variance_entropy_normalized",
    "variance_entropy_clean_normalized",
    "sparsity",
    "orthogonality",
    "norm_mean",
    "norm_std",
    "distance_from_untrained",
)

#: Columns of the models' table that say what a near model is, where the store has them.
_DESCRIPTION = ("task", "visual_category", "architecture", "training_dataset", "source")

#: The other columns of the table of near models.
_NEAREST = ("rank", "model", "drift", "filters", "model_id")

#: Beyond this share of coefficients outside the store's range the histograms miss part of the model.
_MUCH_OUTSIDE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class AxisPlacement:
    """One axis.

    Attributes:
        grouping: its groups, without the model itself.
        placement: where the model sits among them.
        own_filters: (G,) filters of the model that were compared with each group.
        by_layer: whether only those of its layers were compared that would be in the group.
        notes: what was left out.
    """

    grouping: Grouping
    placement: Placement
    own_filters: Int64
    by_layer: bool
    notes: tuple[str, ...]

    def table(self, min_models: int) -> pa.Table:
        """A row per group: ``axis, group, models, layers, filters, own_filters, drift, drift_lo, drift_hi,
        usual_drift, members_farther, few_models``.

        ``usual_drift`` is the median drift between a model of the group and the rest of it, ``members_farther`` the
        share of its models that are farther from the rest than this one is; null for groups of fewer than two models.
        Where lineages are the unit, they stand in place of models.
        """
        groups, placed = self.grouping.groups, self.placement
        columns: dict[str, Any] = {
            "axis": pa.array([self.grouping.axis] * len(groups), pa.string()),
            "group": pa.array([group.name for group in groups], pa.string()),
            **{size: pa.array([getattr(g, size) for g in groups], pa.int64()) for size in _SIZES},
            "own_filters": pa.array(self.own_filters),
            "drift": pa.array(placed.drift, from_pandas=True),
            "drift_lo": pa.array(placed.low, from_pandas=True),
            "drift_hi": pa.array(placed.high, from_pandas=True),
            "usual_drift": pa.array(placed.usual, from_pandas=True),
            "members_farther": pa.array(placed.farther, from_pandas=True),
            "few_models": pa.array(self.grouping.units_of_groups < min_models),
        }
        return pa.table(columns)


_SIZES = ("models", "layers", "filters")


@dataclass(frozen=True, slots=True, eq=False)
class CompareResult:
    """Everything one run of ``analysis.compare.measure`` found.

    Attributes:
        model: the model, measured on the store's basis.
        axes: one per axis, in the order asked.
        nearest: all other models, the nearest first.
        layers: the quality of the model's layers (``analysis.measures.layer_quality``), with percentiles among the
            store's.
        extent: what it was compared with.
        settings: how.
        uri: of the store.
        notes: what to beware of.
        provenance: where the store's sketch came from, one line.
    """

    model: MeasuredModel
    axes: tuple[AxisPlacement, ...]
    nearest: pa.Table
    layers: pa.Table
    extent: Extent
    settings: CompareSettings
    uri: str
    notes: tuple[str, ...]
    provenance: str

    @property
    def degenerate(self) -> pa.Table:
        """The rows of ``layers`` that are degenerate."""
        return degenerate_layers(self.layers)

    @property
    def groups(self) -> pa.Table:
        """``AxisPlacement.table`` of all axes."""
        return pa.concat_tables([axis.table(self.settings.min_models) for axis in self.axes])

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where

    @property
    def size(self) -> str:
        """How large the model is, for people."""
        filters = int(self.model.sketch.num_filters.sum())
        return f"{count(self.layers.num_rows, 'layer')}, {count(filters, 'filter')}"


def measure(settings: CompareSettings, view: StoreView | None = None) -> CompareResult:
    """Where the model sits. Writes nothing but the sketch that the store keeps, and only if there was none.

    The whole model is compared with groups of models; with groups of layers (depth, is_depthwise …) those of its layers
    that would be in the group. A model that is in the store itself (same content) is left out of what it is compared
    with.

    Args:
        settings: what to measure. ``where`` chooses what the model is compared with.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: the model cannot be had, read or compared; an axis, the condition or the store is not usable.
    """
    divergence = divergence_named(settings.divergence)
    resampling = resampling_of(settings.replicates, settings.level, settings.seed)
    kind = SketchKind.of(settings)
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, settings.filters, settings.duplicates)
    # A wrong axis is known at once; groups are made again of the other models alone.
    asked = group_axes(
        view.flat, selected, settings.axes, max_groups=settings.max_groups, unit=settings.unit
    ).at_least_one()
    extract = ExtractSettings(
        prefer_ema=settings.prefer_ema,
        include_transposed=settings.include_transposed,
        quantised=settings.quantised,
    )
    with open_model(settings.model, extract) as opened:
        options = ScanOptions(workers=partial(scan_workers, settings.cluster))
        sketch = sketch_of_store(view.store, view.layers, kind, options=options)
        model = measure_model(opened, sketch.basis, kind.preparation)
    others, notes = _without_itself(selected, model)
    ruler = Ruler(divergence, sketch.basis, settings.components)
    layer_columns = set(selected.column_names) - set(view.models.column_names) - {"model_label", "lineage"}
    axes = []
    for axis in (grouping.axis for grouping in asked.found):
        by_layer = axis in DEPTH_AXES or (axis in layer_columns and axis in model.flat.column_names)
        grouping = _grouping(selected, others, axis, settings)
        own, own_filters = _own_counts(model, grouping, by_layer, settings.weight)
        placement = place(own, unit_histograms(sketch, grouping, settings.weight), ruler, resampling)
        axes.append(AxisPlacement(grouping, placement, own_filters, by_layer, grouping.notes))
    return CompareResult(
        model=model,
        axes=tuple(axes),
        nearest=_nearest(others, sketch, model, ruler, settings.weight, _described(view.models, others)),
        layers=_with_percentiles(layer_quality(model.flat), layer_quality(_whole_layers(view, others))),
        extent=Extent.of(others),
        settings=settings,
        uri=view.store.uri,
        notes=(
            *notes,
            *view.notes_on_duplicates(settings.where, settings.duplicates),
            *_on_range(model),
            *asked.left_out.values(),
        ),
        provenance=sketch.provenance,
    )


def _without_itself(selected: pa.Table, model: MeasuredModel) -> tuple[pa.Table, tuple[str, ...]]:
    """The layers of all other models, and what to note about the model's own place in the store."""
    same = pc.equal(selected.column("model_id"), model.model_id)
    if model.sha256 is not None and "sha256" in selected.column_names:
        same = pc.or_(same, pc.fill_null(pc.equal(selected.column("sha256"), model.sha256), False))
    itself = selected.filter(same)
    if not itself.num_rows:
        return selected, ()
    others = selected.filter(pc.invert(same))
    names = listed(list(dict.fromkeys(itself.column("model_label").to_pylist())))
    if not Extent.of(others).filters:
        raise UserError(f"the store (after where, if given) holds no other model than {names}: nothing to compare with")
    return others, (f"the store holds this model itself ({names}, same content): it is left out of every comparison",)


def _whole_layers(view: StoreView, others: pa.Table) -> pa.Table:
    """These layers of the flat view with all their filters: quality is of a layer, whatever is left out of drifts."""
    return view.flat.filter(
        pc.is_in(view.flat.column("layer_id"), value_set=others.column("layer_id").combine_chunks())
    )


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


def _grouping(selected: pa.Table, others: pa.Table, axis: str, settings: CompareSettings) -> Grouping:
    """The groups without the model itself, with a note on groups that held nothing else."""
    grouping = group_layers(others, axis, max_groups=settings.max_groups, unit=settings.unit)
    if selected is others or grouping.single_models:
        return grouping
    left = {group.name for group in grouping.groups}
    full = group_layers(selected, axis, max_groups=settings.max_groups)
    gone = [group.name for group in full.groups if group.name not in left]
    if not gone:
        return grouping
    return replace(grouping, notes=(*grouping.notes, f"{axis}: no other model than this one in {listed(gone)}"))


def _own_counts(model: MeasuredModel, grouping: Grouping, by_layer: bool, weight: Weight) -> tuple[Float64, Int64]:
    """(G, 9, bins) what of the model is compared with each group, and (G,) how many filters that is."""
    number = len(grouping.groups)
    if not by_layer:
        everything = unit_histograms(model.sketch, whole(model.flat, model.name), weight).counts
        filters = int(model.sketch.num_filters.sum())
        return np.repeat(everything, number, axis=0), np.full(number, filters, np.int64)
    counts = np.zeros((number, 9, model.sketch.basis.bins))
    filters_of = np.zeros(number, np.int64)
    column = "conv_depth_norm" if grouping.axis in DEPTH_AXES else grouping.axis
    if model.flat.column(column).null_count == model.flat.num_rows:
        return counts, filters_of
    mine = group_layers(model.flat, grouping.axis)
    found = unit_histograms(model.sketch, mine, weight)
    row_of = {group.name: row for row, group in enumerate(grouping.groups)}
    for own, group in enumerate(mine.groups):
        row = row_of.get(group.name)
        if row is not None:
            counts[row] = found.counts[found.group == own].sum(axis=0)
            filters_of[row] = model.sketch.num_filters[model.sketch.rows_of(mine.layer_ids[mine.codes == own])].sum()
    return counts, filters_of


def _described(models: pa.Table, others: pa.Table) -> list[str]:
    """Columns that say what a near model is: ours, then attributes and labels."""
    more = [name for name in attribute_names(models) if name not in _NEAREST]
    return [name for name in (*_DESCRIPTION, *more) if name in others.column_names]


def _nearest(
    others: pa.Table, sketch: Sketch, model: MeasuredModel, ruler: Ruler, weight: Weight, description: Sequence[str]
) -> pa.Table:
    """Every other model, the nearest first: ``rank, model, drift, filters``, what it is, ``model_id``."""
    grouping = group_layers(others, "model")
    own = unit_histograms(model.sketch, whole(model.flat, model.name), weight).counts[0]
    histograms = unit_histograms(sketch, grouping, weight)
    drift = ruler.between(own, histograms.counts)
    labels = others.column("model_label").to_pylist()
    first = {label: row for row, label in reversed(list(enumerate(labels)))}
    rows = [first[group.name] for group in grouping.groups]
    columns = {
        "model": pa.array([group.name for group in grouping.groups], pa.string()),
        "drift": pa.array(drift, from_pandas=True),
        "filters": pa.array([group.filters for group in grouping.groups], pa.int64()),
    }
    described = others.select([*description, "model_id"]).take(rows)
    columns |= dict(zip(described.column_names, described.columns, strict=True))
    table = pa.table(columns).sort_by([("drift", "ascending"), ("model", "ascending")])
    return table.add_column(0, "rank", pa.array(range(1, table.num_rows + 1), pa.int64()))


def _with_percentiles(own: pa.Table, among: pa.Table) -> pa.Table:
    """The quality table of the model's layers with ``<metric>_percentile`` columns among the store's layers."""
    for metric in PERCENTILE_METRICS:
        values = percentiles(floats(own, metric), floats(among, metric))
        own = own.append_column(f"{metric}_percentile", pa.array(values, from_pandas=True))
    return own
