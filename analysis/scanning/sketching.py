"""The sketch of a store, found or made: no scan where nothing is new, two where the basis follows the store."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.bounds import ExtremeFilters
from analysis.arrays.kernels import SIZE, Extremes
from analysis.arrays.moments import Moments
from analysis.arrays.preparation import AS_STORED, Preparation, counted
from analysis.arrays.sketch import Sketch, SketchOrigin, merge_sketches
from analysis.scanning.kept import SketchArea, SketchStore, key_of, with_new_layers
from analysis.scanning.scan import ScanTime, coefficient_extremes, layer_histograms, scaled_moments
from analysis.scanning.task import Workers
from analysis.scanning.units import LayerIndex
from analysis.scanning.workers import scan_workers
from analysis.settings import DEFAULT_BINS, Duplicates, GroupSettings, HistogramSettings
from analysis.ties.duplicates import without_duplicates
from analysis.wording import count
from distributed.errors import StoreError, UserError
from distributed.settings import ClusterSettings

log = logging.getLogger(__name__)

#: Columns of ``layers`` that a sketch is made from.
LAYER_COLUMNS = ("layer_id", "model_id", "num_filters", "scaled_sum", "scaled_gram", "extreme_filters")
#: And that one of clean filters is made from.
CLEAN_COLUMNS = (*LAYER_COLUMNS, "max_abs", "num_clean", "clean_sum", "clean_gram")


def _basis_asked_for(settings: HistogramSettings) -> Basis | None:
    return None if settings.basis is None else Basis.read(Path(os.path.expanduser(settings.basis)))


@dataclass(frozen=True, slots=True)
class SketchKind:
    """What a sketch is to be of.

    Attributes:
        bins: of its histograms; with ``basis`` that basis's own count.
        basis: what filters are projected on; None: the PCA of all that count.
        preparation: of the filters.
        span: (low, high) of the histograms; (): the smallest and the largest coefficient.
        duplicates: whether models with the same weights count once in the basis, or each; histograms are of all.
    """

    bins: int = DEFAULT_BINS
    basis: Basis | None = None
    preparation: Preparation = AS_STORED
    span: tuple[float, ...] = ()
    duplicates: Duplicates = Duplicates.keep

    @classmethod
    def of(cls, settings: HistogramSettings) -> SketchKind:
        """What settings ask for.

        Raises:
            UserError: the basis that they name cannot be read.
        """
        preparation = Preparation(settings.filters, settings.rounding)
        # Pairs, who have no such setting, are of twins as well; in their basis each weight set counts once.
        duplicates = settings.duplicates if isinstance(settings, GroupSettings) else Duplicates.drop
        return cls(settings.bins, _basis_asked_for(settings), preparation, settings.span, duplicates)


def workers_anywhere(filters: int) -> AbstractContextManager[Workers]:
    """The Ray that is connected, else whoever is fastest on this machine."""
    return scan_workers(ClusterSettings(), filters)


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How filters are read where they must be.

    Attributes:
        workers: called with the number of filters to read, entered before the first scan and left after the last:
            who reads them. Not called without a scan.
        sketch: one made earlier, used beside what the store keeps: for stores that cannot be written.
    """

    workers: Callable[[int], AbstractContextManager[Workers]] = workers_anywhere
    sketch: Sketch | None = None


DEFAULT_OPTIONS = ScanOptions()


def sketch_of_store(
    store: SketchStore,
    layers: pa.Table,
    kind: SketchKind = SketchKind(),
    *,
    options: ScanOptions = DEFAULT_OPTIONS,
) -> Sketch:
    """The histograms of every layer in ``layers``.

    Without ``kind.basis`` it is the PCA of all these layers (of one model for each weight set, where ``kind`` says so,
    if the layers' digests are there), its range that of all their coefficients: found in the
    store if it was made before, else a scan for the range, of the layers that may hold its ends only
    (``analysis.arrays.bounds``), and one of all filters for the histograms. Rounded filters need one before, for their
    moments, and all of them for the range. With ``kind.basis`` (whose own bins count) only models that the store has no
    histograms of on that basis are scanned, once; coefficients outside its range are counted apart. What was made is
    kept in the store; where that cannot be written a warning says so.

    Args:
        store: a ``distributed.store.Store``.
        layers: all layers of the store: ``LAYER_COLUMNS`` or ``CLEAN_COLUMNS``, other columns are ignored.
        kind: what is counted.
        options: how filters are read.

    Returns:
        a sketch of exactly these layers; its ``origin`` says whether anything was scanned.

    Raises:
        UserError: too few or equal filters for a basis, or ``options.sketch`` is on another one.
        StoreError: filters are missing, damaged, or not what ``layers`` says; or ``layers`` says nothing of clean ones.
    """
    basis = kind.basis
    index = LayerIndex.from_table(layers, kind.preparation)
    _check_memory(index, kind.bins if basis is None else basis.bins)
    area = SketchArea(store)
    given = options.sketch
    with ExitStack() as stack:
        scans = _Scans(store, options, stack)
        counting = without_duplicates(layers) if kind.duplicates is Duplicates.drop else layers
        fixed, kept, key = basis is not None, basis, key_of(counting, kind.bins, kind.preparation, kind.span)
        if given is not None and given.preparation != kind.preparation:
            raise UserError(f"the given sketch is of {given.preparation}, asked for are {kind.preparation}")
        if basis is None:
            kept = area.read_basis(key)
            own = index if counting is layers else LayerIndex.from_table(counting, kind.preparation)
            basis = _basis_of(counting, own, kind, given, kept, scans)
        elif given is not None and given.basis.digest != basis.digest:
            raise UserError(f"the given sketch is on another basis ({given.basis.digest}) than {basis.digest}")
        found = area.read(basis, index)
        if given is not None and given.basis.digest == basis.digest:
            found = with_new_layers(found, given, index)
        missing = index.of_models(_models_without(found, index))
        if missing.layer_ids.size:
            made = scans.histograms(missing, basis)
            if not fixed and not kind.span and made.outside:
                raise _range_is_wrong("filters/ holds coefficients outside the range that was found before")
            known = found.take(~np.isin(found.layer_ids, made.layer_ids))
            found = merge_sketches([known, made]) if known.layer_ids.size else made
            if kept is None and not kind.span and not (found.counts[:, :, 0].any() and found.counts[:, :, -1].any()):
                raise _range_is_wrong("no coefficient lies at the ends of the range that was found before")
            area.write(made)
        if kept is None:
            # Only now: the second scan has compared what was read with the moments of the extraction.
            area.write_basis(key, basis)
    origin = _origin(scans.times, index, basis)
    log.info("%s", origin.text)
    return replace(found, origin=origin)


class _Scans:
    """The scans of one run; their workers are entered before the first."""

    def __init__(self, store: SketchStore, options: ScanOptions, stack: ExitStack) -> None:
        self._store, self._options, self._stack = store, options, stack
        self._workers: Workers | None = None
        self.times: list[ScanTime] = []

    def extremes(self, layers: LayerIndex, axes: PrincipalAxes) -> Extremes:
        """The first scan."""
        result, time = coefficient_extremes(self._store, layers, axes, self._entered(layers))
        self.times.append(time)
        return result

    def moments(self, layers: LayerIndex) -> Moments:
        """Of rounded filters, before the first."""
        result, time = scaled_moments(self._store, layers, self._entered(layers))
        self.times.append(time)
        return result

    def histograms(self, layers: LayerIndex, basis: Basis) -> Sketch:
        """The second."""
        sketch, time = layer_histograms(self._store, layers, basis, self._entered(layers))
        self.times.append(time)
        return sketch

    def _entered(self, layers: LayerIndex) -> Workers:
        if self._workers is None:
            self._workers = self._stack.enter_context(self._options.workers(layers.total_filters))
        return self._workers


def _basis_of(
    layers: pa.Table, index: LayerIndex, kind: SketchKind, given: Sketch | None, kept: Basis | None, scans: _Scans
) -> Basis:
    """The basis of all layers: kept, in the given sketch, or from the moments and a scan for the range."""
    if kind.bins < 1:
        raise UserError(f"bins={kind.bins}: at least one bin is needed")
    if kept is not None:
        return kept
    preparation = kind.preparation
    if preparation.is_rounded:
        axes = PrincipalAxes.from_moments(scans.moments(index))
    else:
        axes = PrincipalAxes.from_moments(Moments.from_layers(counted(layers, preparation.filters)))
    if given is not None and _is_wanted(given.basis, axes, kind):
        return given.basis
    if kind.span:
        return axes.with_range(kind.span[0], kind.span[1], kind.bins)
    if preparation.is_rounded:  # the extreme filters are those of other numbers
        scanned = scans.extremes(index, axes)
        return axes.with_range(float(scanned.low.min()), float(scanned.high.max()), kind.bins)
    extreme_filters = ExtremeFilters.from_layers(layers, preparation.filters)
    attained = extreme_filters.attained(axes)
    undecided = extreme_filters.undecided(axes, attained)
    low, high = float(attained.low.min()), float(attained.high.max())
    if undecided.any():
        scanned = scans.extremes(index.take(undecided), axes)
        low, high = min(low, float(scanned.low.min())), max(high, float(scanned.high.max()))
    if not low < high:
        raise StoreError(f"all coefficients are {low}, but layers/ says that the filters differ: extract again")
    return axes.with_range(low, high, kind.bins)


def _is_wanted(basis: Basis, axes: PrincipalAxes, kind: SketchKind) -> bool:
    """Whether a basis made earlier is of these axes, and its range what is asked for: ends are held if given."""
    is_ranged = (basis.low, basis.high) == kind.span if kind.span else True
    return basis.bins == kind.bins and basis.belongs_to(axes) and is_ranged


def _check_memory(index: LayerIndex, bins: int) -> None:
    """That the histograms fit: they are held twice while they are made, as they come and as they are summed."""
    needed, there = 2 * 8 * SIZE * bins * index.layer_ids.size, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            f"bins={bins}: histograms of {count(index.layer_ids.size, 'layer')} would take {needed / 2**30:,.0f} GiB, "
            f"this machine has {there / 2**30:,.0f}: take fewer bins"
        )


def _range_is_wrong(what: str) -> StoreError:
    return StoreError(
        f"{what}: the store changed meanwhile (run again when nothing writes to it), or extreme_filters in layers/ are "
        "of other filters (extract again with extract.retry=all)"
    )


def _models_without(found: Sketch, index: LayerIndex) -> set[str]:
    missing = ~np.isin(index.layer_ids, found.layer_ids)
    return {index.model_ids[i] for i in np.flatnonzero(missing)}


def _origin(times: list[ScanTime], index: LayerIndex, basis: Basis) -> SketchOrigin:
    if not times:
        text = f"found the sketch of {index.total_filters:,} filters on basis {basis.digest[:12]}: nothing scanned"
        return SketchOrigin(scanned=False, text=text)
    rows, seconds = sum(time.filters for time in times), sum(time.seconds for time in times)
    last = times[-1]
    histograms = last if last.what == "histograms" else None
    times_read = f"{len(times)} {'scan' if len(times) == 1 else 'scans'}"
    rate = f"{seconds:.1f} s, {rows / max(seconds, 1e-9):,.0f} filters/s"
    return SketchOrigin(
        scanned=True,
        text=f"{times_read}, {rows:,} filters read in {rate}; basis {basis.digest[:12]}",
        filters=histograms.filters if histograms else 0,
        models=histograms.models if histograms else 0,
        seconds=seconds,
        rows=rows,
    )
