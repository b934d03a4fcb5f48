"""Units of a scan through Ray Data: a data set of small work units that are read inside the map.

What travels through Ray are units (file names and row ranges) on the way out and per-layer counts on the way back; the
filters themselves stay in the worker that reads them. One task takes one core and runs one kernel thread.
"""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data

from analysis.scanning.task import UnitTask, check_device
from analysis.scanning.units import WorkUnit
from distributed.errors import FilterShiftError, UserError

#: Tasks that share a GPU: reading Parquet is the slower half of the work, one reader would leave it idle.
_TASKS_PER_GPU = 4


class RayWorkers:
    """The CPUs, or GPUs, of the Ray that this process is connected to."""

    def __init__(self, device: str = "auto") -> None:
        """
        Raises:
            UserError: an unknown device, or ``cuda`` in a cluster without GPUs.
        """
        self._device, self._gpus, self._statistics = device, gpus_per_task(device), ""

    @property
    def parallel(self) -> int:
        """See ``Workers``."""
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def results(self, task: UnitTask, units: Sequence[WorkUnit]) -> Iterator[dict[str, Any]]:
        """See ``Workers``."""
        on_batch = _OnBatch(task, self._device)
        with _ray_data_for_scans():
            rows = [{"unit": pickle.dumps(unit)} for unit in units]
            data = ray.data.from_items(rows, override_num_blocks=max(1, len(rows)))
            mapped = _on_gpus(data, on_batch, self._gpus, len(rows)) if self._gpus else _on_cpus(data, on_batch)
            for batch in mapped.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                for row in batch.to_pylist():
                    if row["error"] is not None:
                        raise pickle.loads(row["error"])
                    yield pickle.loads(row["result"])
            self._statistics = mapped.stats()

    def statistics(self) -> str:
        """Ray Data's own account (``Dataset.stats``): tasks, times, bytes that went through Ray."""
        return self._statistics


@dataclass(frozen=True, slots=True)
class _OnBatch:
    """Runs a task over the units of a batch; an error is returned as data, so that it arrives as it was raised."""

    task: UnitTask
    device: str

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = []
        for content in batch.column("unit").to_pylist():
            unit: WorkUnit = pickle.loads(content)  # our own: plan_units in the driver
            try:
                rows.append({"error": None, "result": pickle.dumps(self.task.run(unit, self.device), protocol=5)})
            except FilterShiftError as error:
                rows.append({"error": pickle.dumps(error), "result": None})
        return pa.Table.from_pylist(rows, schema=pa.schema([("error", pa.binary()), ("result", pa.large_binary())]))


class _OnBatchActor:
    """An ``_OnBatch`` in a process that lives on between units."""

    def __init__(self, on_batch: _OnBatch) -> None:
        self._on_batch = on_batch

    def __call__(self, batch: pa.Table) -> pa.Table:
        return self._on_batch(batch)


def _on_cpus(units: ray.data.Dataset, on_batch: _OnBatch) -> ray.data.Dataset:
    return units.map_batches(on_batch, batch_size=None, batch_format="pyarrow", num_cpus=1, zero_copy_batch=True)


def _on_gpus(units: ray.data.Dataset, on_batch: _OnBatch, share: float, number: int) -> ray.data.Dataset:
    """In actors: Ray ends the process of a GPU task after each task, and a CUDA context takes seconds to make."""
    resources = ray.cluster_resources()
    places = int(min(resources.get("CPU", 1.0), resources["GPU"] / share, number))
    return units.map_batches(
        _OnBatchActor,
        fn_constructor_args=(on_batch,),
        batch_size=1,  # a block is one unit; with GPUs Ray Data insists on a number
        batch_format="pyarrow",
        num_cpus=1,
        num_gpus=share,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=max(1, places)),
    )


def gpus_per_task(device: str) -> float:
    """The share of a GPU that a task asks Ray for; 0: it runs on the CPU.

    ``auto`` takes GPUs where their tasks are at least half as many as the cluster's CPUs could run: a few GPUs beside
    many CPUs would be the slower choice, since half of the work is reading.

    Raises:
        UserError: an unknown device, or ``cuda`` in a cluster without GPUs.
    """
    check_device(device)
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
def _ray_data_for_scans() -> Iterator[None]:
    """Ray Data's settings for the time of a scan; as before afterwards.

    Its bars and plan appear only on a terminal, and elsewhere no warning that they are off. All units are handed to
    Ray at once: with its own reservation Ray Data 2.60 runs a data set's first second one task at a time (its budget
    is zero until the autoscaling coordinator's answer is looked at), and most scans are over by then.
    """
    context, loggers = ray.data.DataContext.get_current(), [logging.getLogger(name) for name in _CHATTY]
    before = (
        context.enable_progress_bars,
        context.op_resource_reservation_enabled,
        [logger.level for logger in loggers],
    )
    context.op_resource_reservation_enabled = False
    if not sys.stderr.isatty():
        context.enable_progress_bars = False
        for logger, level in zip(loggers, _CHATTY.values(), strict=True):
            logger.setLevel(level)
    try:
        yield
    finally:
        context.enable_progress_bars, context.op_resource_reservation_enabled = before[:2]
        for logger, level in zip(loggers, before[2], strict=True):
            logger.setLevel(level)
