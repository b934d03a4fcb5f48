"""Benchmark 6: the kernels on a GPU, and the statistics of large layers, against the CPU in the same run.

    python -m benchmarks.gpu --rows 64e6

Per kernel: filters a second with the columns in the host's memory (as a scan has them), and on a GPU the share of its
memory bandwidth, 36 bytes a filter against what a copy within the device reaches. Without CUDA it says so and ends.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.arrays.kernels import Binning, Kernels, Projection, kernels_for
from analysis.arrays.kernels.cuda import TorchKernels
from benchmarks.output import Column, Goal, Row, bars, finish, number
from distributed.statistics import layer_statistics

COLUMNS = (
    Column("what", "what"),
    Column("device", "device"),
    Column("rows", "filters", number(0)),
    Column("seconds", "seconds", number(3)),
    Column("rate", "million filters/s", number(1)),
    Column("times", "times the CPU", number(1)),
    Column("bandwidth", "share of copy bandwidth", lambda value: f"{value:.1%}"),
)

_BYTES = 36


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--rows", type=float, default=8e6)
    parser.add_argument("--channels", type=int, default=1024, help="of the large layer: so many in and out")
    parser.add_argument("--device", default="cuda", help="cpu runs the PyTorch loops without a GPU")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("skipped: PyTorch finds no CUDA device on this machine")
        return
    device = torch.device(given.device)
    copy = copy_bandwidth(device)
    rows = [*_kernels(int(given.rows), device, copy), *_statistics(given.channels, device, copy)]
    goals = [
        Goal(f"{row['what']}: {row['times']:.1f} times one core", row["times"] > 1) for row in rows if row["times"]
    ]
    finish("gpu", given.out, rows, COLUMNS, _draw, goals)


def _best(work: Callable[[], object], device: torch.device, repeats: int = 3) -> float:
    work()
    best = float("inf")
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy within the device's memory reads."""
    source = torch.ones(1 << 26, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return source.numel() * 4 / _best(lambda: target.copy_(source), device, 10)


def _kernels(rows: int, device: torch.device, copy: float) -> list[Row]:
    columns = tuple(np.random.default_rng(0).standard_normal((9, rows), dtype=np.float32))
    matrix = np.linalg.qr(np.random.default_rng(1).standard_normal((9, 9)))[0]
    projection, binning = Projection(matrix, np.zeros(9)), Binning(-3.1, 3.1, 70)

    def work(kernels: Kernels) -> dict[str, Callable[[], object]]:
        """Each verb over all rows, in calls of the size that the backend asks for."""
        size = kernels.batch_rows
        parts = [[column[at : at + size] for column in columns] for at in range(0, rows, size)]
        starts = [np.array([0, part[0].size // 3, part[0].size]) for part in parts]
        return {
            "range": lambda: [kernels.extremes(part, projection) for part in parts],
            "histograms": lambda: [
                kernels.histograms(part, s, projection, binning) for part, s in zip(parts, starts, strict=True)
            ],
        }

    compiled, ours = work(kernels_for("cpu")), work(TorchKernels(device))
    found = []
    for name in compiled:
        one_core = _best(compiled[name], torch.device("cpu"))
        there = _best(ours[name], device)
        found.append(_row(f"kernel: {name}", "one core, numba", rows, one_core, None, None))
        found.append(_row(f"kernel: {name}", f"{device.type}, torch", rows, there, one_core, copy))
    return found


def _statistics(channels: int, device: torch.device, copy: float) -> list[Row]:
    weight = torch.randn(channels, channels, 3, 3, generator=torch.Generator().manual_seed(0))
    there, rows = weight.to(device), channels * channels
    on_cpu = _best(lambda: layer_statistics(weight), torch.device("cpu"))
    on_device = _best(lambda: layer_statistics(there), device)
    return [
        _row("statistics of a layer", "cpu, torch", rows, on_cpu, None, None),
        _row("statistics of a layer", f"{device.type}, torch", rows, on_device, on_cpu, copy),
    ]


def _row(what: str, device: str, rows: int, seconds: float, cpu: float | None, copy: float | None) -> Row:
    return {
        "what": what,
        "device": device,
        "rows": rows,
        "seconds": seconds,
        "rate": rows / seconds / 1e6,
        "times": None if cpu is None else cpu / seconds,
        "bandwidth": None if copy is None else rows * _BYTES / seconds / copy,
    }


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    bars(figure, rows, lambda row: f"{row['what']}\n{row['device']}", "rate", "Million filters a second")


if __name__ == "__main__":
    main()
