"""Benchmark 3: the drift between all pairs of models: one matrix product against the loop over pairs.

    python -m benchmarks.matrix --models 1000 --largest 5000

The loop is that of the published procedure, ``scipy.stats.entropy`` twice for each of nine components; it runs over
``--loop-pairs`` random pairs and is scaled up to all of them. The same loop in plain NumPy is the second rival.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import entropy

from analysis.measures.drift import distributions, symmetric_kl
from analysis.settings import DEFAULT_BINS
from benchmarks.output import Column, Goal, Row, bars, finish, number

RATIO = np.array([0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237])

COLUMNS = (
    Column("models", "models", number(0)),
    Column("who", "who"),
    Column("seconds", "seconds", number(3)),
    Column("pairs", "pairs run", number(0)),
    Column("microseconds", "µs a pair", number(3)),
    Column("apart", "relative difference", lambda value: f"{value:.1g}"),
)


def model_counts(models: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """(models, 9, 70) histograms of normal coefficients, every model with its own width and place."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(-3.5, 3.5, DEFAULT_BINS)
    place, width = rng.normal(0, 0.1, (models, 9, 1)), rng.lognormal(-0.5, 0.2, (models, 9, 1))
    shape = np.exp(-0.5 * ((edges - place) / width) ** 2)
    counts: npt.NDArray[np.int64] = rng.poisson(1e5 * shape / shape.sum(axis=-1, keepdims=True)).astype(np.int64)
    return counts


def scipy_pair(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """D of two models, (9, 70) each."""
    return float(sum(RATIO[k] * (entropy(p[k], q[k]) + entropy(q[k], p[k])) for k in range(9)))


def numpy_pair(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """The same, all components at once."""
    return float(RATIO @ ((p - q) * np.log(p / q)).sum(axis=1))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--largest", type=int, default=1000)
    parser.add_argument("--loop-pairs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    rows: list[Row] = []
    for models in dict.fromkeys((given.models, given.largest)):
        groups = distributions(model_counts(models), RATIO, -3.5, 3.5)
        symmetric_kl(groups)  # BLAS starts its threads
        began = time.perf_counter()
        matrix = symmetric_kl(groups)
        seconds, pairs = time.perf_counter() - began, models * (models - 1) // 2
        rows.append(_row(models, "one matrix product", seconds, pairs, pairs, None))
        if models == given.models:
            rng = np.random.default_rng(1)
            chosen = rng.integers(0, models, (min(given.loop_pairs, pairs), 2))
            chosen = chosen[chosen[:, 0] != chosen[:, 1]]
            for who, pair in (("scipy.stats.entropy, pair by pair", scipy_pair), ("NumPy, pair by pair", numpy_pair)):
                p = groups.probabilities
                began = time.perf_counter()
                values = np.array([pair(p[a], p[b]) for a, b in chosen.tolist()])
                seconds = (time.perf_counter() - began) / len(chosen) * pairs
                apart = np.abs(values / matrix[chosen[:, 0], chosen[:, 1]] - 1).max()
                rows.append(_row(models, who, seconds, len(chosen), pairs, apart))
    finish("matrix", given.out, rows, COLUMNS, _draw, _goals(rows))


def _row(models: int, who: str, seconds: float, run: int, pairs: int, apart: float | None) -> Row:
    return {
        "models": models,
        "who": who,
        "seconds": seconds,
        "pairs": run,
        "microseconds": seconds / pairs * 1e6,
        "apart": apart,
    }


def _goals(rows: Sequence[Row]) -> list[Goal]:
    ours, loop = rows[0], rows[1]
    times = loop["seconds"] / ours["seconds"]
    found = [Goal(f"{ours['models']} models: {times:,.0f} times the loop over pairs (goal 1 000)", times >= 1000)]
    largest = max((row for row in rows if row["who"] == ours["who"]), key=lambda row: row["models"])
    text = f"{largest['models']:,} models in {largest['seconds']:.1f} s (goal: 5 000 in 30 s)"
    found.append(Goal(text, largest["seconds"] <= 30))
    return found


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    bars(figure, rows, lambda row: f"{row['models']} models\n{row['who']}", "seconds", "Seconds for all pairs")


if __name__ == "__main__":
    main()
