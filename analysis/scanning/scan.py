"""The scans: every filter of some layers read once, by whatever workers there are."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.kernels import SIZE, Extremes
from analysis.arrays.moments import Moments
from analysis.arrays.sketch import Sketch
from analysis.scanning.reading import PATIENT, FilterStore, ReadPolicy, scan_extremes, scan_histograms, scan_moments
from analysis.scanning.task import UnitTask, Workers
from analysis.scanning.units import LayerIndex, plan_units, scan_cost
from distributed.errors import StoreError
from distributed.records import GRAM_LENGTH

log = logging.getLogger(__name__)

#: Rows of a unit, at most and at least: more units balance the load, fewer cost less (10 ms of the driver each with
#: Ray, in every scan). On object stores a unit holds what it reads, 300 MB at most.
MOST_ROWS_PER_UNIT, FEWEST_ROWS_PER_UNIT = 1 << 23, 1 << 19
_UNITS_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class ScanTime:
    """What one scan read: ``filters``, ``models``, ``units`` of work, in ``seconds`` of wall time.

    ``statistics`` is the workers' own account of it; Ray Data's has tasks, times, bytes that went through Ray.
    """

    what: str
    filters: int
    models: int
    units: int
    seconds: float
    statistics: str = ""

    @property
    def rows_per_second(self) -> float:
        """Filters per second of wall time."""
        return self.filters / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.filters:,} filters of {self.models:,} models in {self.seconds:.1f} s "
            f"({self.rows_per_second:,.0f} filters/s, {self.units} units)"
        )


def scaled_moments(
    store: FilterStore, layers: LayerIndex, workers: Workers, *, policy: ReadPolicy = PATIENT
) -> tuple[Moments, ScanTime]:
    """Of all scaled filters of ``layers``: only where those in ``layers`` are of other numbers, for they are rounded.

    Raises:
        StoreError: a file is missing, damaged, or not what ``layers`` says.
    """
    sums, grams = np.zeros((layers.layer_ids.size, SIZE)), np.zeros((layers.layer_ids.size, GRAM_LENGTH))
    scan = FilterScan("moments", store, layers, workers, policy)
    # In the order of their layers, whatever the order of completion: sums of floats depend on it.
    found = list(scan.results(scan_moments, None))
    for result in sorted(found, key=lambda each: each["layer_ids"].tolist()):
        at = np.searchsorted(layers.layer_ids, result["layer_ids"])
        sums[at] += result["sums"]
        grams[at] += result["grams"]
    return Moments.from_sums(layers.counted, sums, grams), scan.time()


def coefficient_extremes(
    store: FilterStore, layers: LayerIndex, axes: PrincipalAxes, workers: Workers, *, policy: ReadPolicy = PATIENT
) -> tuple[Extremes, ScanTime]:
    """Smallest and largest coefficient per component over all filters of ``layers``: the first scan.

    Raises:
        StoreError: a file is missing, damaged, or not what ``layers`` says.
    """
    low, high = np.full(SIZE, np.inf), np.full(SIZE, -np.inf)
    scan = FilterScan("range of coefficients", store, layers, workers, policy)
    for result in scan.results(scan_extremes, axes):
        low, high = np.minimum(low, result["low"]), np.maximum(high, result["high"])
    return Extremes(low, high), scan.time()


def layer_histograms(
    store: FilterStore, layers: LayerIndex, basis: Basis, workers: Workers, *, policy: ReadPolicy = PATIENT
) -> tuple[Sketch, ScanTime]:
    """Histograms of the coefficients of every layer of ``layers``: the second scan.

    Raises:
        StoreError: a file is missing, damaged, or not what ``layers`` says; a layer has more, fewer or other filters.
    """
    size = layers.layer_ids.size
    counts = np.zeros((size, SIZE, basis.bins), np.int64)
    below, above = np.zeros((size, SIZE), np.int64), np.zeros((size, SIZE), np.int64)
    checks = np.zeros(size)
    scan = FilterScan("histograms", store, layers, workers, policy)
    for result in scan.results(scan_histograms, basis):
        at = np.searchsorted(layers.layer_ids, result["layer_ids"])
        checks[at] += result["checks"]  # a unit names each layer once
        # Slices, since counts[at] += … would copy all of it twice: the layers of a model lie side by side.
        bounds = [0, *(np.flatnonzero(np.diff(at) != 1) + 1).tolist(), at.size]
        for start, stop in itertools.pairwise(bounds):
            if stop > start:
                here, slots = slice(at[start], at[stop - 1] + 1), result["counts"][start:stop]
                counts[here] += slots[:, :, 1:-1]
                below[here] += slots[:, :, 0]
                above[here] += slots[:, :, -1]
    sketch = Sketch(layers.layer_ids, counts, below, above, basis, preparation=layers.preparation)
    layers.check_filters(sketch.num_filters)
    layers.check_sums(checks)
    return sketch, scan.time()


class FilterScan:
    """One pass over the filters of some layers; counts what it reads."""

    def __init__(self, what: str, store: FilterStore, layers: LayerIndex, workers: Workers, policy: ReadPolicy) -> None:
        self._what, self._store, self._layers = what, store, layers
        self._workers, self._policy = workers, policy
        self._filters, self._units, self._seconds = 0, 0, 0.0

    def results(
        self, scan: Callable[..., dict[str, Any]], basis: PrincipalAxes | Basis | None
    ) -> Iterator[dict[str, Any]]:
        """What each unit gave, in the order of completion."""
        began = time.perf_counter()
        target = scan_cost(self._layers) // (self._workers.parallel * _UNITS_PER_WORKER)
        target = min(max(target, FEWEST_ROWS_PER_UNIT), MOST_ROWS_PER_UNIT)
        units = plan_units(self._layers, self._store.filter_places(), target)
        self._units = len(units)
        for result in self._workers.results(UnitTask(scan, self._store, basis, self._policy), units):
            self._filters += result["filters"]
            yield result
        self._seconds = time.perf_counter() - began
        if self._filters != self._layers.total_counted:
            raise StoreError(
                f"filters: read {self._filters:,} filters where layers says {self._layers.total_counted:,}; "
                "run the extraction again with extract.retry=all"
            )

    def time(self) -> ScanTime:
        """Of the finished scan, also written to the log."""
        models = len(set(self._layers.model_ids))
        statistics = self._workers.statistics()
        report = ScanTime(self._what, self._filters, models, self._units, self._seconds, statistics)
        log.info("%s", report)
        return report
