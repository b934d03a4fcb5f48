"""How coefficients are distributed: ridges of the nine components by group, two-dimensional densities of pairs.

python -m analysis.coefficients store.uri=data/filters 'axes=[task]' 'pairs=[[1,2]]' layers="name = 'resnet20'"

Ridges come from the store's sketch, without a scan. Densities of pairs of components take one pass over the filters of
the models asked for, by group of each axis or, with ``layers``, by layer. From Python::

    from analysis.coefficients.measure import measure_coefficients
    from analysis.coefficients.settings import CoefficientSettings
    from distributed.store.settings import StoreSettings

    report = measure_coefficients(CoefficientSettings(StoreSettings("data/filters"), axes=("task",)))
    report.ridges[0].table().to_pandas()
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.text import Text

from analysis.arrays.basis import Basis
from analysis.coefficients.files import AxisRidges, CoefficientReport, GroupedDensities, write_coefficients
from analysis.coefficients.settings import CoefficientSettings
from analysis.measures.drift import distributions
from analysis.measures.phenotypes import CELLS, Phenotype
from analysis.measures.weighting import Weight, model_histograms
from analysis.overrides import quoted_condition
from analysis.scanning.densities import Pair, checked_pairs, pair_densities
from analysis.scanning.sketching import ScanOptions, Sketch, sketch_of_store
from analysis.scanning.units import LayerIndex
from analysis.scanning.workers import scan_workers
from analysis.selection.conditions import filters_in, models_in, select_layers
from analysis.selection.grouping import Grouping, emptied_groups, group_layers
from analysis.selection.view import StoreView
from analysis.shift.files import writable_folder
from analysis.wording import count, one_line
from distributed.entry import OK, command
from distributed.errors import UserError


def run(settings: CoefficientSettings) -> int:
    """The command: measure, write, print; returns the exit code.

    Raises:
        UserError: see ``measure_coefficients``, or ``settings.out`` cannot be written.
    """
    folder = writable_folder(settings.out)
    report = measure_coefficients(settings)
    line = write_coefficients(report, folder)
    print_coefficients(report, line, Console(highlight=False))
    return OK


def measure_coefficients(settings: CoefficientSettings) -> CoefficientReport:
    """Ridges of every axis, and densities where pairs are asked for. Writes nothing but the sketch the store keeps.

    Raises:
        UserError: an axis, a pair, a condition, the basis or the store is not usable, known before any filter is read;
            or the filters are missing or damaged.
    """
    pairs = _checked(settings)
    basis = None if settings.basis is None else Basis.read(Path(settings.basis))
    view = StoreView.open(settings.store)
    selected = view.select(settings.where)
    axes = tuple(dict.fromkeys(settings.axes))
    groupings = [group_layers(selected, axis, max_groups=settings.max_groups) for axis in axes]
    chosen = groupings if settings.layers is None else [_single_layers(selected, settings.layers)]
    with ExitStack() as stack:
        index = LayerIndex.from_table(view.layers)
        options = ScanOptions(workers=partial(scan_workers, settings.cluster))
        if pairs:
            # The same for the sketch, if it has to be made, and for the densities, which only CPUs count.
            workers = stack.enter_context(scan_workers(settings.cluster, index.total_filters, "cpu"))
            options = ScanOptions(workers=lambda _: nullcontext(workers))
        sketch = sketch_of_store(view.store, view.layers, bins=settings.bins, basis=basis, options=options)
        densities: tuple[GroupedDensities, ...] = ()
        if pairs:
            found = pair_densities(view.store, index, chosen, sketch.basis, pairs, workers, bins=settings.density_bins)
            densities = tuple(
                GroupedDensities(grouping, each, sketch.basis) for grouping, each in zip(chosen, found, strict=True)
            )
    ridges = tuple(
        axis_ridges(sketch, grouping, settings.weight, emptied_groups(view.flat, selected, grouping.axis))
        for grouping in groupings
    )
    return CoefficientReport(
        ridges,
        densities,
        sketch.basis,
        "" if sketch.report is None else sketch.report.origin,
        (models_in(selected), selected.num_rows, filters_in(selected)),
        settings,
        view.store.uri,
    )


def _checked(settings: CoefficientSettings) -> tuple[Pair, ...]:
    if not settings.axes:
        raise UserError("axes is empty: name at least one, as in 'axes=[task,depth]'")
    if settings.bins < 2:
        raise UserError(f"bins={settings.bins}: a histogram needs at least 2")
    pairs = checked_pairs(settings.pairs)
    if settings.density_bins < CELLS or settings.density_bins % CELLS:
        raise UserError(f"density_bins={settings.density_bins}: give a multiple of {CELLS}, as 96")
    if settings.layers is not None and not pairs:
        raise UserError("layers=… is for densities: name pairs of components as well, as in 'pairs=[[1,2]]'")
    return pairs


def _single_layers(selected: pa.Table, condition: str) -> Grouping:
    try:
        chosen = select_layers(selected, condition)
    except UserError as error:
        raise UserError(str(error).replace("where=", "layers=", 1)) from error
    return group_layers(chosen, "layer", max_groups=chosen.num_rows)


def axis_ridges(sketch: Sketch, grouping: Grouping, weight: Weight, notes: Sequence[str] = ()) -> AxisRidges:
    """The distributions of each group of one axis, those that drift is computed from.

    Raises:
        UserError: a layer is not in the sketch, or a group lies wholly outside the range of the sketch's basis.
    """
    histograms = model_histograms(sketch, grouping, weight)
    counts = np.zeros((len(grouping.groups), *histograms.counts.shape[1:]))
    np.add.at(counts, histograms.group, histograms.counts)
    basis = sketch.basis
    empty, component = np.nonzero(counts.sum(axis=2) == 0)
    if empty.size:
        raise UserError(
            f"{grouping.axis}: no coefficient {component[0] + 1} of group {one_line(grouping.groups[empty[0]].name)} "
            f"lies in the range {basis.low:.4g} … {basis.high:.4g} of the basis: take the basis of this store"
        )
    groups = distributions(counts, basis.explained_variance_ratio, basis.low, basis.high)
    return AxisRidges(grouping, groups.probabilities, basis.edges, (*grouping.notes, *notes))


def print_coefficients(report: CoefficientReport, line: str, console: Console) -> None:
    """What was measured: groups of each axis, the looks of densities, extent, and where the files are."""
    for axis in report.ridges:
        console.print(Text(f"{axis.grouping.axis}: {count(len(axis.grouping.groups), 'group')}"))
        for note in axis.notes:
            console.print(Text(one_line(note)))
    for part in report.densities:
        rows = part.phenotypes().to_pylist()
        for pair in part.densities.pairs:
            mine = [row["phenotype"] for row in rows if (row["first"], row["second"]) == pair]
            looks = ", ".join(f"{mine.count(str(look))} {look}" for look in Phenotype if str(look) in mine)
            console.print(Text(f"densities by {part.grouping.axis}, components {pair[0]} and {pair[1]}: {looks}"))
    if report.densities:
        console.print(Text(str(report.densities[0].densities.time)))
    models, layers, filters = report.extent
    extent = ", ".join((count(models, "model"), count(layers, "layer"), count(filters, "filter")))
    console.print(Text(f"{extent}; {report.origin}"))
    if report.settings.where:
        console.print(Text(f"where {one_line(report.settings.where)}"))
    console.print(Text(line), soft_wrap=True)


def main() -> None:
    """Entry point; see ``conf/coefficients.yaml`` for every setting."""
    sys.argv[1:] = [_quoted_layers(argument) for argument in quoted_condition(sys.argv[1:])]
    command("coefficients", CoefficientSettings, run)


def _quoted_layers(argument: str) -> str:
    """``layers=…`` is SQL as ``where=…`` is, and quoted for Hydra in the same way."""
    if not argument.startswith("layers="):
        return argument
    return "layers=" + quoted_condition(["where=" + argument.removeprefix("layers=")])[0].removeprefix("where=")


if __name__ == "__main__":
    main()
