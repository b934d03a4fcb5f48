"""Benchmark 2: our scans on one core against their floor: pyarrow reading the same columns, and the kernels alone.

    python -m benchmarks.floor --rows 20e6

Four numbers a scan: (a) read by pyarrow and thrown away, (b) the kernel on rows in memory, and ours: by one thread, and
through a Ray of one CPU that has run a scan before. Nobody can be faster than (a) + (b) with this reader and these
kernels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.kernels import kernels_for
from analysis.arrays.moments import Moments
from analysis.scanning.ray_workers import RayWorkers
from analysis.scanning.scan import coefficient_extremes, layer_histograms
from analysis.scanning.task import Workers
from analysis.scanning.thread_workers import ThreadWorkers
from analysis.scanning.units import LayerIndex
from benchmarks.measuring import made_folder, read_through
from benchmarks.output import Column, Goal, Row, finish, number
from benchmarks.synthetic import make_store
from distributed.cluster import connected
from distributed.records import WEIGHT_COLUMNS
from distributed.settings import ClusterSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings

#: Rows of the kernels' measurement: as a scan gives them, from the cache of the processor.
_BATCH = 1 << 16

#: What is measured of each scan.
_KEYS = ("read", "kernel", "threads", "ray")

COLUMNS = (
    Column("scan", "scan"),
    Column("read", "(a) pyarrow, ns/row", number()),
    Column("kernel", "(b) kernel, ns/row", number()),
    Column("threads", "one thread, ns/row", number()),
    Column("ray", "Ray, ns/row", number()),
    Column("threads_ratio", "one thread / (a + b)", number(2)),
    Column("ray_ratio", "Ray / (a + b)", number(2)),
)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("--rows", type=float, default=2e6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=made_folder)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="floor-") as place:
        folder, rows = Path(place), int(given.rows)
        make_store(folder, rows)
        read_through(folder)
        found = _measure(folder, rows, given.repeats)
    found.append(_with_ratios({"scan": "both"} | {key: sum(row[key] for row in found) for key in _KEYS}))
    goals = [
        Goal(f"{who} is {found[-1][key]:.2f} times (a) + (b) (goal 1.3)", found[-1][key] <= 1.3)
        for who, key in (("ours by a thread", "threads_ratio"), ("ours through Ray", "ray_ratio"))
    ]
    finish("floor", given.out, found, COLUMNS, _draw, goals)


def _with_ratios(row: Row) -> Row:
    least = row["read"] + row["kernel"]
    return row | {"threads_ratio": row["threads"] / least, "ray_ratio": row["ray"] / least}


def _measure(folder: Path, rows: int, repeats: int) -> list[Row]:
    store = Store.open(StoreSettings(str(folder)))
    layers = store.layers()
    index, axes = LayerIndex.from_table(layers), PrincipalAxes.from_moments(Moments.from_layers(layers))
    basis = axes.with_range(-3.5, 3.5)
    kernels = kernels_for("cpu")
    kernels.warm()
    columns = tuple(np.random.default_rng(0).standard_normal((9, _BATCH), dtype=np.float32))
    starts = np.array([0, _BATCH // 3, _BATCH])
    loops = max(1, rows // _BATCH)

    def repeated(kernel: Callable[[], object]) -> Callable[[], object]:
        return lambda: [kernel() for _ in range(loops)]

    memory = {
        "range": repeated(lambda: kernels.extremes(columns, axes.projection)),
        "histograms": repeated(lambda: kernels.histograms(columns, starts, basis.projection, basis.binning)),
    }
    names = list(WEIGHT_COLUMNS)
    reading = {
        "range": lambda: _read(store, names),
        "histograms": lambda: _read(store, [*names, "layer_id"]),
    }
    found = []
    with connected(ClusterSettings(local_cpus=1)):
        threads, through_ray = ThreadWorkers(1), RayWorkers("cpu")
        ours: dict[str, Callable[[Workers], object]] = {
            "range": partial(coefficient_extremes, store, index, axes),
            "histograms": partial(layer_histograms, store, index, basis),
        }
        for scan in ours:
            works: dict[str, tuple[Callable[[], object], int]] = {
                "read": (reading[scan], rows),
                "kernel": (memory[scan], loops * _BATCH),
                "threads": (partial(ours[scan], threads), rows),
                "ray": (partial(ours[scan], through_ray), rows),
            }
            works["ray"][0]()  # the worker starts and imports
            # Alternately, so that another load of the machine hits all.
            best = dict.fromkeys(_KEYS, np.inf)
            for _ in range(repeats):
                for key, (work, size) in works.items():
                    began = time.perf_counter()
                    work()
                    best[key] = min(best[key], (time.perf_counter() - began) / size * 1e9)
            found.append(_with_ratios({"scan": scan, **best}))
    return found


def _read(store: Store, columns: list[str]) -> None:
    for model_id in sorted(store.model_ids()):
        for _ in pq.ParquetFile(store.filters_path(model_id)).iter_batches(_BATCH, columns=columns, use_threads=False):
            pass


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes, middle, width = figure.subplots(), np.arange(len(rows)), 0.28
    axes.bar(middle - width, [row["read"] for row in rows], width, label="(a) pyarrow reads")
    axes.bar(middle - width, [row["kernel"] for row in rows], width, [row["read"] for row in rows], label="(b) kernel")
    axes.bar(middle, [row["threads"] for row in rows], width, label="ours, one thread")
    axes.bar(middle + width, [row["ray"] for row in rows], width, label="ours, through Ray")
    axes.set_xticks(middle, [row["scan"] for row in rows])
    axes.set(ylabel="ns per filter, one core", title="Where the time goes")
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
