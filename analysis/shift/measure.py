"""How the distributions of filters shift between groups of models and layers.

python -m analysis.shift store.uri=data/filters 'axes=[task,visual_category,depth]' out=shift

The basis is that of all filters of the store, from the moments in ``layers``; one scan for histograms per layer, and
one of few layers for their range before it, serve every axis, condition and later run, because what they find is kept
in the store as a sketch. From Python::

    from analysis.settings import ShiftSettings
    from analysis.shift.measure import measure_shift
    from distributed.store.settings import StoreSettings

    report = measure_shift(ShiftSettings(StoreSettings("data/filters"), axes=("task",)))
    report.shifts[0].matrix().to_pandas()
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from analysis.arrays.basis import Basis
from analysis.measures.drift import divergence_named
from analysis.measures.drift_matrix import Comparison, axis_shift
from analysis.measures.uncertainty import resampling_of
from analysis.overrides import quoted_condition
from analysis.scanning.sketching import ScanOptions, Sketch, sketch_of_store
from analysis.scanning.workers import check_device, scan_workers
from analysis.selection.conditions import filters_in, models_in
from analysis.selection.grouping import emptied_groups, group_layers
from analysis.selection.view import StoreView
from analysis.settings import ShiftSettings
from analysis.shift.files import SKETCH_FILE, ShiftReport, writable_folder, write_results
from analysis.shift.terminal import print_shift
from distributed.entry import OK, command
from distributed.errors import UserError

log = logging.getLogger(__name__)


def run(settings: ShiftSettings) -> int:
    """The command: measure, write, print; returns the exit code.

    Raises:
        UserError: see ``measure_shift``, or ``settings.out`` cannot be written, known before any filter is read.
    """
    folder = writable_folder(settings.out)
    report = measure_shift(settings)
    written = write_results(report, folder)
    print_shift(report, written, Console(highlight=False))
    return OK


def measure_shift(settings: ShiftSettings, view: StoreView | None = None) -> ShiftReport:
    """The drift matrix of every axis. Writes nothing but the sketch that the store keeps.

    Filters are read only if neither the store nor the folder ``settings.out`` holds their histograms, and a Ray is
    joined or started only if they are many, or ``settings.cluster`` is one (``analysis.scanning.workers.scan_workers``).

    Args:
        settings: what to measure.
        view: of ``settings.store``, where it has been opened already.

    Raises:
        UserError: an axis, the condition, the basis or the store is not usable, known before any filter is read; or
            the filters are missing or damaged.
    """
    axes = tuple(dict.fromkeys(settings.axes))
    if not axes:
        raise UserError("axes is empty: name at least one, as in 'axes=[task,depth]'")
    if settings.bins < 2:
        raise UserError(f"bins={settings.bins}: a histogram needs at least 2")
    check_device(settings.device)
    comparison = comparison_of(settings)
    basis = None if settings.basis is None else Basis.read(Path(settings.basis))
    view = view or StoreView.open(settings.store)
    selected = view.select(settings.where)
    groupings = [group_layers(selected, axis, max_groups=settings.max_groups) for axis in axes]
    options = ScanOptions(
        workers=lambda filters: scan_workers(settings.cluster, filters, settings.device),
        sketch_file=_earlier_sketch(Path(settings.out), basis),
    )
    sketch = sketch_of_store(view.store, view.layers, bins=settings.bins, basis=basis, options=options)
    shifts = tuple(axis_shift(sketch, grouping, comparison) for grouping in groupings)
    if settings.where is not None:
        shifts = tuple(replace(s, notes=(*s.notes, *emptied_groups(view.flat, selected, s.axis))) for s in shifts)
    return ShiftReport(shifts, sketch, models_in(selected), selected.num_rows, filters_in(selected), settings.where)


def comparison_of(settings: ShiftSettings) -> Comparison:
    """How the settings ask to compare.

    Raises:
        UserError: there is no such divergence, or a number is out of range.
    """
    return Comparison(
        divergence_named(settings.divergence),
        settings.weight,
        resampling_of(settings.replicates, settings.level, settings.seed),
        settings.min_models,
        settings.max_tested_groups,
    )


def _earlier_sketch(out: Path, basis: Basis | None) -> Path | None:
    """The sketch that an earlier run wrote into ``out``, if it is whole and on ``basis`` (where one is given).

    Whether it is of the same filters is checked where it is used.
    """
    path = out / SKETCH_FILE
    if not path.is_file():
        return None
    try:
        sketch = Sketch.from_parquet(path)
    except UserError as error:
        log.warning("%s; it is made again", error)
        return None
    return path if basis is None or sketch.basis.digest == basis.digest else None


def main() -> None:
    """Entry point; see ``conf/shift.yaml`` for every setting."""
    sys.argv[1:] = quoted_condition(sys.argv[1:])
    command("shift", ShiftSettings, run)


if __name__ == "__main__":
    main()
