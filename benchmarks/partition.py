"""What a partition costs: distances between all models, PERMANOVA of three factors, and the whole command.

    python -m benchmarks.partition --models 647 2000

Stores are synthetic (``benchmarks.synthetic_store``: models, layers and sketch, no filters); factors are task,
training data and family, of some 11, 120 and 60 values. The rival of the permutations is the product of the centred
matrix with an orthonormal basis of the permuted design, as it is usually computed; it is timed on a few and multiplied.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.designs import Design
from analysis.measures.drift import distributions
from analysis.measures.exchange import arrangements_of
from analysis.measures.model_distance import squared_distances
from analysis.measures.permanova import permanova
from analysis.partition import PartitionSettings, measure_partition
from analysis.selection.factors import Factor, cells_of
from benchmarks.matrix import RATIO, model_counts
from benchmarks.measuring import answer, arguments_of_child, run_measured
from benchmarks.output import Column, Goal, Row, finish, gigabytes, number
from benchmarks.synthetic_store import write_synthetic_store
from distributed.store import StoreSettings

LEVELS = {"family": 60, "training_dataset": 120, "task": 11}

COLUMNS = (
    Column("models", "models", number(0)),
    Column("permutations", "permutations", number(0)),
    Column("distances", "distances, s", number(2)),
    Column("test", "PERMANOVA, s", number(2)),
    Column("cpu", "both, CPU s", number(1)),
    Column("product", "by matrix products, CPU s", number(0)),
    Column("peak", "peak memory", gigabytes),
    Column("plain", "command: all layers, s", number(1)),
    Column("plain_cpu", "the same, CPU s", number(0)),
    Column("whole", "command: with components and depth, s", number(1)),
    Column("whole_cpu", "the same, CPU s", number(0)),
    Column("whole_peak", "peak memory", gigabytes),
)


def factors_of(models: int) -> list[Factor]:
    """Three factors at random."""
    random = np.random.default_rng(0)
    return [
        Factor(name, tuple(map(str, range(levels))), random.integers(0, levels, models)).of(np.arange(models))
        for name, levels in LEVELS.items()
    ]


def product_seconds(squared: Float64, design: Design, permutations: int) -> float:
    """CPU time of as many permutations by tr(QᵀGQ), sequential terms only; timed on three."""
    number_, columns = design.observations, int(design.columns.max()) + 1
    indicators = np.zeros((number_, columns + 1))
    indicators[:, 0] = 1
    np.put_along_axis(indicators, design.columns + 1, 1.0, axis=1)
    basis = np.linalg.qr(indicators)[0]
    gower = -0.5 * (squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean())
    random, began = np.random.default_rng(0), time.process_time()
    for _ in range(3):
        permuted = basis[random.permutation(number_)]
        (permuted * (gower @ permuted)).sum(axis=0)
    return (time.process_time() - began) / 3 * permutations


def _child() -> None:
    """In a process of its own: the measures alone, or the whole command on ``store``."""
    given = arguments_of_child()
    if "store" in given:
        more: dict[str, Any] = {} if given["parts"] else {"axes": (), "by_component": False}
        settings = PartitionSettings(
            StoreSettings(given["store"]), factors=tuple(LEVELS), permutations=given["permutations"], **more
        )
        began = time.perf_counter()
        measure_partition(settings)
        answer({"seconds": time.perf_counter() - began})
        return
    models = distributions(model_counts(given["models"]), RATIO, -3.5, 3.5)
    design = Design.of(factors_of(given["models"]))
    labels, same = cells_of([factor.codes for factor in design.factors]), np.zeros(given["models"], np.int64)
    dealt = arrangements_of(labels, same, np.arange(given["models"]), given["permutations"], 0)
    few = squared_distances(distributions(model_counts(300), RATIO, -3.5, 3.5))  # loads what is compiled
    permanova(few, Design.of([factor.of(np.arange(300)) for factor in design.factors[2:]]), None)
    began, cpu = time.perf_counter(), time.process_time()
    squared = squared_distances(models)
    middle = time.perf_counter()
    permanova(squared, design, dealt)
    done, cpu = time.perf_counter(), time.process_time() - cpu
    product = product_seconds(squared, design, given["permutations"])
    answer({"distances": middle - began, "test": done - middle, "cpu": cpu, "product": product})


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    sizes = [row["models"] for row in rows]
    for key, label in (("distances", "distances"), ("test", "PERMANOVA"), ("whole", "whole command")):
        axes.plot(sizes, [row[key] for row in rows], "o-", label=label)
    axes.axhline(60, color="0.6", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="models", ylabel="seconds")
    axes.legend(frameon=False)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partition", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[647])
    parser.add_argument("--permutations", type=int, default=999)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    rows: list[Row] = []
    for models in given.models:
        common = {"models": models, "permutations": given.permutations}
        found, usage = run_measured("benchmarks.partition", common)
        with tempfile.TemporaryDirectory() as folder:
            asked = {"store": write_synthetic_store(Path(folder), models).uri, "permutations": given.permutations}
            plain, usage_plain = run_measured("benchmarks.partition", {**asked, "parts": False})
            whole, usage_whole = run_measured("benchmarks.partition", {**asked, "parts": True})
        commands = {
            "plain": plain["seconds"],
            "plain_cpu": usage_plain.cpu_seconds,
            "whole": whole["seconds"],
            "whole_cpu": usage_whole.cpu_seconds,
        }
        rows.append(common | found | commands | {"peak": usage.peak_bytes, "whole_peak": usage_whole.peak_bytes})
        print(
            f"{models} models: {found['distances']:.1f} + {found['test']:.1f} s, command {plain['seconds']:.1f} s",
            flush=True,
        )
    goals = [
        Goal(
            f"2 000 models, 3 factors, 999 permutations: {row['plain']:.0f} s with distances and spread (goal 60)",
            row["plain"] < 60,
        )
        for row in rows
        if (row["models"], row["permutations"]) == (2000, 999)
    ]
    finish("partition", given.out, rows, COLUMNS, _draw, goals)


if __name__ == "__main__":
    import os

    _child() if "BENCHMARK_RESULT" in os.environ else main()
