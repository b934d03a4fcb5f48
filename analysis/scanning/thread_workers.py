"""Units of a scan in threads of this process."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from analysis.arrays.kernels import kernels_for
from analysis.scanning.task import UnitTask
from analysis.scanning.units import WorkUnit


def usable_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ThreadWorkers:
    """Threads of this process. Reading and kernels release Python's lock, so that they run side by side."""

    def __init__(self, threads: int | None = None) -> None:
        """``threads``: None takes the CPUs that this process may use."""
        self._threads = threads or usable_cpus()

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
