"""Reading every filter once, by Ray Data: a data set of small work units that are read inside the map.

What travels through Ray are units (file names and row ranges) on the way out and per-layer counts on the way back; the
filters themselves stay in the worker that reads them. One task takes one core and runs one kernel thread.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data

from analysis.basis import Basis, PrincipalAxes
from analysis.kernels import DEVICES, SIZE, Extremes, kernels_for
from analysis.reading import PATIENT, FilterStore, ReadPolicy, scan_extremes, scan_histograms
from analysis.units import LayerIndex, WorkUnit, plan_units, scan_cost
from distributed.errors import FilterShiftError, StoreError, UserError

log = logging.getLogger(__name__)

Int64 = npt.NDArray[np.int64]

#: Rows a task reads, at most and at least: many tasks per core balance the load, few cost less (10 ms of the driver
#: each, in every scan). On object stores a task holds what it reads, 300 MB at most.
MOST_ROWS_PER_UNIT, FEWEST_ROWS_PER_UNIT = 1 << 23, 1 << 18
_UNITS_PER_CPU = 8

#: Tasks that share a GPU: reading Parquet is the slower half of the work, one reader would leave it idle.
_TASKS_PER_GPU = 4


@dataclass(frozen=True, slots=True)
class ScanTime:
    """What one scan read: ``filters``, ``models``, ``units`` of work, in ``seconds`` of wall time.

    ``statistics`` is Ray Data's own account of it (``Dataset.stats``): tasks, times, bytes that went through Ray.
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


@dataclass(frozen=True, slots=True, eq=False)
class LayerCounts:
    """Counts (L, 9, bins + 2) int64 of the coefficients of L layers, slots as ``Kernels.histograms`` gives them."""

    layer_ids: Int64
    counts: Int64


@dataclass(frozen=True, slots=True)
class _Task:
    """Runs one scan over the units of a batch; an error is returned as data, so that it arrives as it was raised."""

    scan: Callable[..., dict[str, Any]]
    store: FilterStore
    what: PrincipalAxes | Basis
    device: str
    policy: ReadPolicy

    def __call__(self, batch: pa.Table) -> pa.Table:
        kernels = kernels_for(self.device)
        filesystem = self.store.arrow_filesystem()
        rows = []
        for content in batch.column("unit").to_pylist():
            unit: WorkUnit = pickle.loads(content)  # our own: plan_units in the driver
            try:
                result = self.scan(unit, filesystem, kernels, self.what, self.policy)
                rows.append(
                    {"error": None, "filters": result.pop("filters"), "result": pickle.dumps(result, protocol=5)}
                )
            except FilterShiftError as error:
                rows.append({"error": pickle.dumps(error), "filters": 0, "result": None})
        schema = pa.schema([("error", pa.binary()), ("filters", pa.int64()), ("result", pa.large_binary())])
        return pa.Table.from_pylist(rows, schema=schema)


def coefficient_extremes(
    store: FilterStore,
    layers: LayerIndex,
    axes: PrincipalAxes,
    *,
    device: str = "auto",
    policy: ReadPolicy = PATIENT,
) -> tuple[Extremes, ScanTime]:
    """Smallest and largest coefficient per component over all filters of ``layers``: the first scan.

    Raises:
        StoreError: a file is missing, damaged, or not what ``layers`` says.
        UserError: there is no such device.
    """
    low, high = np.full(SIZE, np.inf), np.full(SIZE, -np.inf)
    scan = FilterScan("range of coefficients", store, layers, device, policy)
    for result in scan.results(scan_extremes, axes):
        low, high = np.minimum(low, result["low"]), np.maximum(high, result["high"])
    return Extremes(low, high), scan.time()


def layer_histograms(
    store: FilterStore, layers: LayerIndex, basis: Basis, *, device: str = "auto", policy: ReadPolicy = PATIENT
) -> tuple[LayerCounts, ScanTime]:
    """Histograms of the coefficients of every layer of ``layers``: the second scan.

    Raises:
        StoreError: a file is missing, damaged, or not what ``layers`` says; a layer has more, fewer or other filters.
        UserError: there is no such device.
    """
    counts = np.zeros((layers.layer_ids.size, SIZE, basis.bins + 2), np.int64)
    checks = np.zeros(layers.layer_ids.size)
    scan = FilterScan("histograms", store, layers, device, policy)
    for result in scan.results(scan_histograms, basis):
        at = np.searchsorted(layers.layer_ids, result["layer_ids"])
        checks[at] += result["checks"]  # a unit names each layer once
        # Slices, since counts[at] += … would copy all of it twice: the layers of a model lie side by side.
        bounds = [0, *(np.flatnonzero(np.diff(at) != 1) + 1).tolist(), at.size]
        for start, stop in itertools.pairwise(bounds):
            if stop > start:
                counts[at[start] : at[stop - 1] + 1] += result["counts"][start:stop]
    layers.check_filters(counts[:, 0, :].sum(axis=1))
    layers.check_sums(checks)
    return LayerCounts(layers.layer_ids, counts), scan.time()


class FilterScan:
    """One pass over the filters of some layers; counts what it reads."""

    def __init__(self, what: str, store: FilterStore, layers: LayerIndex, device: str, policy: ReadPolicy) -> None:
        self._what, self._store, self._layers = what, store, layers
        self._device, self._policy = device, policy
        self._filters, self._units, self._seconds, self._statistics = 0, 0, 0.0, ""

    def results(self, scan: Callable[..., dict[str, Any]], basis: PrincipalAxes | Basis) -> Iterator[dict[str, Any]]:
        """What each unit gave, in the order of completion."""
        began = time.perf_counter()
        gpus = gpus_per_task(self._device)
        if not gpus:
            # Compiled (or found compiled) here once, so that on this machine no two workers wait for each other.
            kernels_for("cpu").warm()
        cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        target = scan_cost(self._layers) // (cpus * _UNITS_PER_CPU)
        target = min(max(target, FEWEST_ROWS_PER_UNIT), MOST_ROWS_PER_UNIT)
        units = plan_units(self._layers, self._store.filters_path, target)
        self._units = len(units)
        task = _Task(scan, self._store, basis, self._device, self._policy)
        with _quiet_ray_data():
            rows = [{"unit": pickle.dumps(unit)} for unit in units]
            data = ray.data.from_items(rows, override_num_blocks=max(1, len(rows)))
            mapped = _on_gpus(data, task, gpus) if gpus else _on_cpus(data, task)
            for batch in mapped.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                yield from self._unpack(batch)
            self._statistics = mapped.stats()
        self._seconds = time.perf_counter() - began
        if self._filters != self._layers.total_filters:
            raise StoreError(
                f"filters: read {self._filters:,} filters where layers says {self._layers.total_filters:,}; "
                "run the extraction again with extract.retry=all"
            )

    def _unpack(self, batch: pa.Table) -> Iterator[dict[str, Any]]:
        for row in batch.to_pylist():
            if row["error"] is not None:
                raise pickle.loads(row["error"])
            self._filters += row["filters"]
            yield pickle.loads(row["result"])

    def time(self) -> ScanTime:
        """Of the finished scan, also written to the log."""
        models = len(set(self._layers.model_ids))
        report = ScanTime(self._what, self._filters, models, self._units, self._seconds, self._statistics)
        log.info("%s", report)
        return report


def _on_cpus(units: ray.data.Dataset, task: _Task) -> ray.data.Dataset:
    return units.map_batches(task, batch_size=None, batch_format="pyarrow", num_cpus=1, zero_copy_batch=True)


def _on_gpus(units: ray.data.Dataset, task: _Task, share: float) -> ray.data.Dataset:
    """In actors: Ray ends the process of a GPU task after each task, and a CUDA context takes seconds to make."""
    resources = ray.cluster_resources()
    places = int(min(resources.get("CPU", 1.0), resources["GPU"] / share))
    return units.map_batches(
        _TaskActor,
        fn_constructor_args=(task,),
        batch_size=1,  # a block is one unit; with GPUs Ray Data insists on a number
        batch_format="pyarrow",
        num_cpus=1,
        num_gpus=share,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, places)),
    )


class _TaskActor:
    """A ``_Task`` in a process that lives on between units."""

    def __init__(self, task: _Task) -> None:
        self._task = task

    def __call__(self, batch: pa.Table) -> pa.Table:
        return self._task(batch)


def gpus_per_task(device: str) -> float:
    """The share of a GPU that a task asks Ray for; 0: it runs on the CPU.

    ``auto`` takes GPUs where their tasks are at least half as many as the cluster's CPUs could run: a few GPUs beside
    many CPUs would be the slower choice, since half of the work is reading.

    Raises:
        UserError: an unknown device, or ``cuda`` in a cluster without GPUs.
    """
    if device not in DEVICES:
        raise UserError(f"device={device}: choose one of {', '.join(DEVICES)}")
    resources = ray.cluster_resources()
    gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 1.0)
    if device == "cuda" and not gpus:
        raise UserError("device=cuda: no node of this Ray offers a GPU; use device=auto or device=cpu")
    if device == "cuda" or (device == "auto" and gpus and 2 * _TASKS_PER_GPU * gpus >= cpus):
        return 1 / _TASKS_PER_GPU
    return 0.0


#: Loggers of Ray Data and the level that is worth a line in a log.
_CHATTY = {"ray.data": logging.WARNING, "ray.data._internal.progress": logging.ERROR}


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Ray Data's bars and plan only on a terminal, and elsewhere no warning that they are off; as before afterwards."""
    context, loggers = ray.data.DataContext.get_current(), [logging.getLogger(name) for name in _CHATTY]
    before = (context.enable_progress_bars, [logger.level for logger in loggers])
    if not sys.stderr.isatty():
        context.enable_progress_bars = False
        for logger, level in zip(loggers, _CHATTY.values(), strict=True):
            logger.setLevel(level)
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        for logger, level in zip(loggers, before[1], strict=True):
            logger.setLevel(level)
