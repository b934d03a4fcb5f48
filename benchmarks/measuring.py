"""Running one contestant in a process of its own, and what it and all its descendants take: time, CPU, memory.

Memory is the proportional set size (PSS) of every process of the tree, Ray's daemons and workers included: a page that
several processes map counts once in all, so that the sum is what the machine must hold. Pages of shared memory (Ray's
object store, in /dev/shm) are in it as far as a process has touched them; the page cache of files is not. Where only
the resident set is known (no /proc/PID/smaps_rollup) that is summed instead and shared pages count several times.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

#: A sample costs milliseconds per process: no more than this share of one core goes into them.
_SAMPLING_SHARE = 0.03
_FASTEST_SAMPLING = 0.1

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and its descendants.

    Attributes:
        seconds: wall time from its start to its end.
        cpu_seconds: user and system time of all processes.
        peak_bytes: largest sum of their PSS, by sampling.
        peak_process_bytes: largest PSS of a single one.
        peak_process: its command.
        processes: most of them at once.
        samples: how many samples were taken.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    peak_process_bytes: int
    peak_process: str
    processes: int
    samples: int


@dataclass(slots=True)
class TreeSampler:
    """Samples a process tree in a thread between ``start`` and ``stop``."""

    pid: int
    _cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    _peak: int = 0
    _peak_one: tuple[int, str] = (0, "")
    _most: int = 0
    _samples: int = 0
    _began: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> TreeSampler:
        """Begin."""
        self._began = time.perf_counter()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> Usage:
        """End, and what was seen."""
        seconds = time.perf_counter() - self._began
        self._done.set()
        assert self._thread is not None
        self._thread.join()
        return Usage(seconds, sum(self._cpu.values()), self._peak, *self._peak_one, self._most, self._samples)

    def _run(self) -> None:
        while not self._done.is_set():
            began = time.thread_time()
            self._sample()
            self._done.wait(max(_FASTEST_SAMPLING, (time.thread_time() - began) / _SAMPLING_SHARE))

    def _sample(self) -> None:
        total = number = 0
        for process in _tree(self.pid):
            try:
                with process.oneshot():
                    times, command = process.cpu_times(), " ".join(process.cmdline())[:80]
                    born = process.create_time()
                    size = _proportional(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            self._cpu[process.pid, born] = times.user + times.system
            self._peak_one = max(self._peak_one, (size, command))
            total += size
            number += 1
        self._peak, self._most = max(self._peak, total), max(self._most, number)
        self._samples += 1


def made_folder(text: str) -> Path:
    """A command-line argument that names a folder, made if it is not there."""
    folder = Path(text)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _proportional(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return int(process.memory_info().rss)
    except ProcessLookupError as error:
        raise psutil.NoSuchProcess(process.pid) from error
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def run_measured(module: str, arguments: dict[str, Any], timeout: float = 3600) -> tuple[dict[str, Any], Usage]:
    """``python -m module JSON`` in a new process; what it answered (``answer``) and what it took.

    Raises:
        RuntimeError: it failed; the end of its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder, "result.json"), Path(folder, "log")
        environment = os.environ | {"BENCHMARK_RESULT": str(result), "RAY_USAGE_STATS_ENABLED": "0"}
        # Contestants use all cores, whatever the shell says.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment.pop(name, None)
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(arguments)],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            sampler = TreeSampler(child.pid).start()
            try:
                code = child.wait(timeout)
            finally:
                child.poll()
                if child.returncode is None:
                    child.terminate()
                    child.wait(30)
                usage = sampler.stop()
        if code != 0:
            tail = log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{module} {arguments} ended with {code}:\n{tail}")
        return json.loads(result.read_text()) if result.exists() else {}, usage


def run_timed(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds of ``python ARGUMENTS`` from its start to its end, and CPU time of it and its children.

    Raises:
        RuntimeError: it failed; the end of its output.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    child = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {child.returncode}:\n{child.stderr[-3000:]}")
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def arguments_of_child() -> dict[str, Any]:
    """In the child: what ``run_measured`` passed."""
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    return arguments


def answer(values: dict[str, Any]) -> None:
    """In the child: what ``run_measured`` returns."""
    Path(os.environ["BENCHMARK_RESULT"]).write_text(json.dumps(values))


def read_through(folder: Path) -> float:
    """Read every file once, so that the next reader finds it in memory (as far as it fits); seconds."""
    began = time.perf_counter()
    buffer = bytearray(1 << 22)
    for path in sorted(folder.rglob("*.parquet")):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began
