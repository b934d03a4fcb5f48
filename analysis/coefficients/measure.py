"""Ridges of every axis of a store, and densities where pairs of components are asked for."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from analysis.arrays.basis import Basis
from analysis.arrays.untrained import with_untrained
from analysis.coefficients.distributions import AxisRidges, GroupedDensities, axis_ridges
from analysis.coefficients.settings import CoefficientsSettings
from analysis.measures.phenotypes import CELLS
from analysis.scanning.densities import Pair, checked_pairs, pair_densities
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.units import LayerIndex
from analysis.scanning.workers import scan_workers
from analysis.selection.conditions import select_layers
from analysis.selection.grouping import Grouping, group_axes, group_layers
from analysis.selection.untrained import with_untrained_groups
from analysis.selection.view import Extent, StoreView
from distributed.errors import UserError


@dataclass(frozen=True, slots=True, eq=False)
class CoefficientsResult:
    """Everything one run of ``analysis.coefficients.measure`` found.

    Attributes:
        ridges: one per axis, in the order asked.
        densities: one per axis, or one of single layers; none where no pairs were asked for.
        basis: what the coefficients are of.
        provenance: where the sketch came from, one line.
        extent: what took part, after ``where``.
        settings: how.
        uri: of the store.
        notes: models and axes that were left out, and why.
    """

    ridges: tuple[AxisRidges, ...]
    densities: tuple[GroupedDensities, ...]
    basis: Basis
    provenance: str
    extent: Extent
    settings: CoefficientsSettings
    uri: str
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where


def measure(settings: CoefficientsSettings, view: StoreView | None = None) -> CoefficientsResult:
    """Ridges of every axis, and densities where pairs are asked for. Writes nothing but the sketch the store keeps.

    Args:
        settings: what to measure.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: an axis, a pair, a condition, the basis or the store is not usable, known before any filter is read;
            or the filters are missing or damaged.
    """
    pairs = _checked(settings)
    kind = SketchKind.of(settings)
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, settings.filters, settings.duplicates)
    groupings = group_axes(view.flat, selected, settings.axes, max_groups=settings.max_groups).at_least_one()
    chosen = groupings.found if settings.layers is None else (_single_layers(selected, settings.layers),)
    with ExitStack() as stack:
        index = LayerIndex.from_table(view.layers, kind.preparation)
        options = ScanOptions(workers=partial(scan_workers, settings.cluster))
        if pairs:
            # The same for the sketch, if it has to be made, and for the densities, which only CPUs count.
            workers = stack.enter_context(scan_workers(settings.cluster, index.total_filters, "cpu"))
            options = ScanOptions(workers=lambda _: nullcontext(workers))
        sketch = sketch_of_store(view.store, view.layers, kind, options=options)
        densities: tuple[GroupedDensities, ...] = ()
        if pairs:
            found = pair_densities(view.store, index, chosen, sketch.basis, pairs, workers, bins=settings.density_bins)
            densities = tuple(
                GroupedDensities(grouping, each, sketch.basis) for grouping, each in zip(chosen, found, strict=True)
            )
    drawn = [with_untrained_groups(grouping, settings.baseline) for grouping in groupings.found]
    known = with_untrained(sketch, settings.baseline)
    return CoefficientsResult(
        tuple(axis_ridges(known, grouping, settings.weight) for grouping in drawn),
        densities,
        sketch.basis,
        sketch.provenance,
        Extent.of(selected),
        settings,
        view.store.uri,
        (*view.notes_on_duplicates(settings.where, settings.duplicates), *groupings.left_out.values()),
    )


def _checked(settings: CoefficientsSettings) -> tuple[Pair, ...]:
    pairs = checked_pairs(settings.pairs)
    if settings.density_bins < CELLS or settings.density_bins % CELLS:
        raise UserError(f"density_bins={settings.density_bins}: give a multiple of {CELLS}, as 96")
    if settings.layers is not None and not pairs:
        raise UserError("layers=… is for densities: name pairs of components as well, as in 'pairs=[[1,2]]'")
    return pairs


def _single_layers(selected: pa.Table, condition: str) -> Grouping:
    return group_layers(select_layers(selected, condition, setting="layers"), "layer")
