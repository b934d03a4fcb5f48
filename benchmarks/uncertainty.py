"""What intervals, nulls and p-values of a whole matrix cost: jackknife and permutations on synthetic sketches.

    python -m benchmarks.uncertainty --models 11 647 5000

Each model has 9 x 70 histograms in one of the groups (as with tasks) or, ``depth``, in every group. The rival is the
plain loop: for every unit left out, sum the histograms of all others, and call the drift of each pair; it is timed on a
few units and multiplied.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.divergences import symmetric_kl_of
from analysis.measures.drift import DIVERGENCES
from analysis.measures.jackknife import jackknife
from analysis.measures.uncertainty import Resampling, permutation_null
from analysis.measures.weighting import UnitHistograms
from benchmarks.measuring import answer, arguments_of_child, run_measured
from benchmarks.output import Column, Goal, Row, finish, gigabytes, number

EVR = np.array([0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237])
BINS, LOW, HIGH = 70, -3.0, 3.0

COLUMNS = (
    Column("models", "models", number(0)),
    Column("groups", "groups", number(0)),
    Column("axis", "axis"),
    Column("replicates", "replicates", number(0)),
    Column("jackknife", "jackknife, s", number(2)),
    Column("null", "null, s", number(2)),
    Column("cpu", "CPU s", number(1)),
    Column("loop", "loop: jackknife, s", number(1)),
    Column("faster", "faster", number(0)),
    Column("peak", "peak memory", gigabytes),
)


def histograms(models: int, groups: int, axis: str, seed: int = 0) -> UnitHistograms:
    """Synthetic counts: each model's coefficients are normal with a centre of its own, around its group's."""
    random = np.random.default_rng(seed)
    edges = np.linspace(LOW, HIGH, BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    if axis == "depth":
        model, group = np.repeat(np.arange(models), groups), np.tile(np.arange(groups), models)
        order = np.argsort(group, kind="stable")
        model, group = model[order], group[order]
    else:
        # Sizes of groups fall like those of real tasks; each has one model at least.
        share = 1 / np.arange(1, groups + 1)
        group = np.sort(
            np.concatenate([np.arange(groups), random.choice(groups, models - groups, p=share / share.sum())])
        )
        model = np.arange(models)
    centre = random.normal(0, 0.3, (models, 9))[model] + random.normal(0, 0.2, (groups, 9))[group]
    width = random.uniform(0.5, 0.9, (len(model), 9))
    density = np.exp(-(((middle - centre[..., None]) / width[..., None]) ** 2) / 2)
    filters = random.lognormal(12, 1.5, len(model))
    counts = np.round(density / density.sum(axis=-1, keepdims=True) * filters[:, None, None])
    return UnitHistograms(counts, group.astype(np.int64), model.astype(np.int64))


def plain_left_out(found: UnitHistograms, unit: int) -> Float64:
    """(G, G) drifts without one unit, row by row and pair by pair."""
    sums = []
    for g in range(found.groups):
        total = np.zeros(found.counts.shape[1:])
        for row in found.rows_of(g):
            if found.unit[row] != unit:
                total += found.counts[row]
        shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1.0)
        shares = np.where(shares > 0, shares, np.finfo(np.float32).eps)
        sums.append(shares / shares.sum(axis=1, keepdims=True))
    drifts = np.zeros((found.groups, found.groups))
    for a in range(found.groups):
        for b in range(found.groups):
            drifts[a, b] = EVR @ symmetric_kl_of(sums[a], sums[b], (HIGH - LOW) / BINS)
    return drifts


def _child() -> None:
    """In a process of its own: ``models``, ``groups``, ``axis``, ``replicates``."""
    given = arguments_of_child()
    found = histograms(given["models"], given["groups"], given["axis"])
    measure = DIVERGENCES["kl"].resampled(EVR, LOW, HIGH)
    resampling = Resampling(given["replicates"])
    began, cpu = time.perf_counter(), time.process_time()
    low, high = jackknife(found, measure.pairs).interval(resampling.level)
    middle = time.perf_counter()
    permutation_null(found, measure.pairs, resampling, np.random.default_rng(0))
    done, cpu = time.perf_counter(), time.process_time() - cpu
    known = ~np.isnan(low)
    assert (low[known] <= high[known]).all()
    few = max(3, min(20, 20_000 // given["models"] // 4))
    started = time.perf_counter()
    for unit in range(few):
        plain_left_out(found, unit)
    loop = (time.perf_counter() - started) / few * given["models"]
    answer({"jackknife": middle - began, "null": done - middle, "cpu": cpu, "loop": loop})


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    for axis in dict.fromkeys(row["axis"] for row in rows):
        here = [row for row in rows if row["axis"] == axis]
        sizes = [row["models"] for row in here]
        axes.plot(sizes, [row["jackknife"] for row in here], "o-", label=f"jackknife, {axis}")
        axes.plot(sizes, [row["null"] for row in here], "s-", label=f"permutations, {axis}")
        axes.plot(sizes, [row["loop"] for row in here], "x--", label=f"plain loop, {axis}")
    axes.axhline(60, color="0.6", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="models", ylabel="seconds for a matrix")
    axes.legend(frameon=False)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uncertainty", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[647])
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--axes", nargs="+", choices=["task", "depth"], default=["task", "depth"])
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    rows: list[Row] = []
    for size in given.models:
        groups = min(given.groups, max(2, size // 2))
        for axis in given.axes:
            common = {"models": size, "groups": groups, "axis": axis, "replicates": given.replicates}
            found, usage = run_measured("benchmarks.uncertainty", common)
            faster = found["loop"] / found["jackknife"]
            rows.append(common | found | {"faster": faster, "peak": usage.peak_bytes})
            print(f"{size} models by {axis}: {found['jackknife']:.2f} + {found['null']:.2f} s", flush=True)
    goals = [
        Goal(
            f"647 models x 16 groups by {row['axis']}, 1 000 permutations: jackknife {row['jackknife']:.1f} s "
            f"(goal 60), null {row['null']:.1f} s",
            row["jackknife"] < 60,
        )
        for row in rows
        if (row["models"], row["groups"], row["replicates"]) == (647, 16, 1000)
    ]
    finish("uncertainty", given.out, rows, COLUMNS, _draw, goals)


if __name__ == "__main__":
    import os

    _child() if "BENCHMARK_RESULT" in os.environ else main()
