"""Who runs the units of a scan: threads of this process, or a Ray."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.kernels import DEVICES, kernels_for
from analysis.scanning.reading import FilterStore, ReadPolicy
from analysis.scanning.units import WorkUnit
from distributed.connection import connected_ray
from distributed.errors import UserError
from distributed.settings import ClusterSettings


@dataclass(frozen=True, slots=True)
class UnitTask:
    """One scan, ready for any unit: a picklable function of a ``WorkUnit``.

    Attributes:
        scan: of ``analysis.scanning.reading``, or with its arguments: unit, file system, kernels, ``what``, policy.
        store: whose files the units name.
        what: is projected on.
        policy: of reading.
    """

    scan: Callable[..., dict[str, Any]]
    store: FilterStore
    what: PrincipalAxes | Basis
    policy: ReadPolicy

    def run(self, unit: WorkUnit, device: str) -> dict[str, Any]:
        """What the scan found in ``unit``; its ``filters`` is how many were read.

        Raises:
            StoreError: a file cannot be read or is not what it should be.
        """
        return self.scan(unit, self.store.arrow_filesystem(), kernels_for(device), self.what, self.policy)


class Workers(Protocol):
    """Run tasks over units, one unit on one core at a time."""

    @property
    def parallel(self) -> int:
        """How many units run at once."""

    def results(self, task: UnitTask, units: Sequence[WorkUnit]) -> Iterator[dict[str, Any]]:
        """What each unit gave, in the order of completion; an error of a unit is raised as it was there."""

    def statistics(self) -> str:
        """Of the last finished ``results``, for people; empty where there are none."""


class ThreadWorkers:
    """Threads of this process. Reading and kernels release Python's lock, so that they run side by side."""

    def __init__(self, threads: int | None = None) -> None:
        """``threads``: None takes the CPUs that this process may use."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._threads = threads or usable or 1

    @property
    def parallel(self) -> int:
        """See ``Workers``."""
        return self._threads

    def results(self, task: UnitTask, units: Sequence[WorkUnit]) -> Iterator[dict[str, Any]]:
        """See ``Workers``. At most twice as many results as threads wait to be taken."""
        kernels_for("cpu").warm()  # compiled once, before two threads ask for it
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="scan")
        waiting, running = iter(units), set[Future[dict[str, Any]]]()
        try:
            while True:
                for unit in itertools.islice(waiting, 2 * self._threads - len(running)):
                    running.add(pool.submit(task.run, unit, "cpu"))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        finally:
            # An error of one unit, or of who takes the results, ends the others as soon as they have read their file.
            pool.shutdown(wait=True, cancel_futures=True)

    def statistics(self) -> str:
        """See ``Workers``: threads keep none."""
        return ""


@contextmanager
def scan_workers(cluster: ClusterSettings, filters: int, device: str = "auto") -> Iterator[Workers]:
    """Workers for scans of ``filters`` filters; what is started for them ends with the context.

    On this machine alone (``cluster.address`` is ``local`` and no Ray is connected yet) fewer filters than
    ``cluster.local_ray_from`` are read by threads of this process: starting Ray would take longer than the scans.
    Otherwise the Ray of ``cluster`` works, on GPUs where ``device`` and its nodes say so.

    Raises:
        UserError: there is no such device, or no Ray at ``cluster.address``.
    """
    check_device(device)
    here = cluster.address == "local" and filters < cluster.local_ray_from and device != "cuda"
    if here and connected_ray() is None:
        yield ThreadWorkers(cluster.local_cpus)
        return
    # Only now: Ray and Ray Data take a second to import.
    from analysis.scanning.ray_workers import RayWorkers
    from distributed.cluster import connected

    with connected(cluster):
        yield RayWorkers(device)


def check_device(device: str) -> None:
    """That ``device`` is one of ``analysis.arrays.kernels.DEVICES``.

    Raises:
        UserError: it is not.
    """
    if device not in DEVICES:
        raise UserError(f"device={device}: choose one of {', '.join(DEVICES)}")
