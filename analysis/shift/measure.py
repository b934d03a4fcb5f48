"""The drift matrices of a store, one per axis."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from analysis.arrays.basis import Basis
from analysis.arrays.sketch import Sketch
from analysis.arrays.untrained import with_untrained
from analysis.measures.drift import divergence_named
from analysis.measures.drift_matrix import AxisShift, DriftMethod, axis_shift, by_mean_drift
from analysis.measures.uncertainty import resampling_of
from analysis.measures.untrained import beside_untrained
from analysis.output.names import SKETCH_FILE, folder_named
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.task import check_device
from analysis.scanning.workers import scan_workers
from analysis.selection.axes import DEPTH_AXES, parts_of
from analysis.selection.grouping import group_axes
from analysis.selection.view import Extent, StoreView
from analysis.settings import MatrixSettings, Order
from analysis.shift.settings import ShiftSettings
from distributed.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ShiftResult:
    """Everything one run of ``analysis.shift`` found.

    Attributes:
        shifts: one per axis, in the order asked.
        sketch: per-layer histograms of all filters of the store, and their basis.
        extent: what took part, after ``where``.
        where: the condition, None for all.
        notes: models and axes that were left out, and why.
    """

    shifts: tuple[AxisShift, ...]
    sketch: Sketch
    extent: Extent
    where: str | None
    notes: tuple[str, ...] = ()

    @property
    def basis(self) -> Basis:
        """What the filters were projected on."""
        return self.sketch.basis


def measure(settings: ShiftSettings, view: StoreView | None = None) -> ShiftResult:
    """The drift matrix of every axis. Writes nothing but the sketch that the store keeps.

    Filters are read only if neither the store nor the folder ``settings.out`` holds their histograms, and a Ray is
    joined or started only if they are many, or ``settings.cluster`` is one (``analysis.scanning.workers``).

    Args:
        settings: what to measure.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: an axis, the condition, the basis or the store is not usable, known before any filter is read; or
            the filters are missing or damaged.
    """
    check_device(settings.device)
    method = drift_method(settings)
    kind = SketchKind.of(settings)
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, settings.filters, settings.duplicates)
    groupings = group_axes(
        view.flat, selected, settings.axes, max_groups=settings.max_groups, unit=settings.unit
    ).at_least_one()
    options = ScanOptions(
        workers=lambda filters: scan_workers(settings.cluster, filters, settings.device),
        sketch=_earlier_sketch(folder_named(settings.out), kind),
    )
    sketch = sketch_of_store(view.store, view.layers, kind, options=options)
    compared, kinds = with_untrained(sketch, settings.baseline), settings.baseline
    shifts = tuple(
        beside_untrained(axis_shift(sketch, grouping, method), compared, kinds, method) for grouping in groupings.found
    )
    if settings.order is Order.mean_drift:
        shifts = tuple(shift if DEPTH_AXES & set(parts_of(shift.axis)) else by_mean_drift(shift) for shift in shifts)
    notes = (*view.notes_on_duplicates(settings.where, settings.duplicates), *groupings.left_out.values())
    return ShiftResult(shifts, sketch, Extent.of(selected), settings.where, notes)


def drift_method(settings: MatrixSettings) -> DriftMethod:
    """How the settings ask to compare.

    Raises:
        UserError: there is no such divergence, or a number is out of range.
    """
    return DriftMethod(
        divergence_named(settings.divergence),
        settings.weight,
        resampling_of(settings.replicates, settings.level, settings.seed, settings.adjust),
        settings.min_models,
        settings.max_tested_groups,
        settings.components,
        settings.margin,
    )


def _earlier_sketch(out: Path, kind: SketchKind) -> Sketch | None:
    """The sketch that an earlier run wrote into ``out``, if it is whole, of this preparation and on the asked basis.

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
    is_asked_for = kind.basis is None or sketch.basis.digest == kind.basis.digest
    return sketch if is_asked_for and sketch.preparation == kind.preparation else None
