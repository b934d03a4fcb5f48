"""How often the 95 % intervals of drifts hold the true drift, with few models a group: ours against plain percentiles.

    python -m benchmarks.interval_coverage --trials 400

Simulated: each model has its own centre (normal, standard deviation 0.3), around which 2 000 values are drawn in each
of three components; the groups' centres lie ``shift`` apart. The truth is the drift between two groups of many models.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.divergences import symmetric_kl_of
from analysis.measures.uncertainty import Resampling, bootstrap_interval
from analysis.measures.weighting import ModelHistograms
from benchmarks.output import Column, Goal, Row, finish, number

COMPONENTS, BINS, VALUES, SPREAD = 3, 12, 2000, 0.3
SHIFTS = (0.0, 0.15, 0.4, 1.0)
SIZES = (3, 6, 15)

COLUMNS = (
    Column("shift", "shift", number(2)),
    Column("models", "models a group", number(0)),
    Column("true", "true drift", number(4)),
    Column("mean_estimate", "mean estimate", number(4)),
    Column("percentile", "plain percentiles cover", number(3)),
    Column("corrected", "ours covers", number(3)),
    Column("error", "± (standard error)", number(3)),
    Column("percentile_width", "width, plain", number(3)),
    Column("corrected_width", "width, ours", number(3)),
)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One pair of groups: its drift and both intervals (low, high)."""

    estimate: float
    plain: tuple[float, float]
    corrected: tuple[float, float]


def measure(counts: Float64) -> Float64:
    """(R, G, C, B) counts → (R, G, G) symmetric Kullback–Leibler drifts, components weighted alike."""
    smoothed = np.where(counts > 0, counts, 1e-7)
    shares = smoothed / smoothed.sum(axis=-1, keepdims=True)
    drifts: Float64 = symmetric_kl_of(shares[:, :, None], shares[:, None], 6 / BINS).mean(axis=-1)
    return drifts


def models(random: np.random.Generator, number_of: int, shift: float) -> Float64:
    """(number_of, C, B) histograms of models whose centres lie around ``shift``."""
    centres = random.normal(shift, SPREAD, size=(number_of, COMPONENTS, 1))
    values = random.normal(centres, 1.0, size=(number_of, COMPONENTS, VALUES)).clip(-3, 3)
    slots = np.minimum(((values + 3) * (BINS / 6)).astype(np.int64), BINS - 1)
    rows = np.arange(number_of * COMPONENTS).reshape(number_of, COMPONENTS, 1)
    counts = np.bincount((rows * BINS + slots).ravel(), minlength=number_of * COMPONENTS * BINS)
    return counts.reshape(number_of, COMPONENTS, BINS).astype(np.float64)


def two_groups(first: Float64, second: Float64) -> ModelHistograms:
    """Of the models of both."""
    total = len(first) + len(second)
    return ModelHistograms(
        np.concatenate([first, second]), np.repeat([0, 1], [len(first), len(second)]), np.arange(total)
    )


def drift_between(first: Float64, second: Float64) -> float:
    """Of the sums of both groups' histograms."""
    return float(measure(np.stack([first.sum(axis=0), second.sum(axis=0)])[None])[0, 0, 1])


def trial(random: np.random.Generator, size: int, shift: float, replicates: int) -> _Trial:
    """Draw two groups, and both intervals from the same replicates."""
    first, second = models(random, size, 0.0), models(random, size, shift)
    seen: list[Float64] = []

    def noted(counts: Float64) -> Float64:
        drifts = measure(counts)
        seen.append(drifts[:, 0, 1].copy())
        return drifts

    low, high = bootstrap_interval(two_groups(first, second), noted, Resampling(replicates), random)
    estimate = drift_between(first, second)
    # Besides the replicates ours measures the observed pair, once.
    drawn = np.concatenate([each for each in seen if not (len(each) == 1 and each[0] == estimate)])
    assert len(drawn) == replicates
    plain_low, plain_high = np.quantile(drawn, [0.025, 0.975])
    return _Trial(estimate, (float(plain_low), float(plain_high)), (float(low[0, 1]), float(high[0, 1])))


def coverage(random: np.random.Generator, shift: float, size: int, true: float, given: argparse.Namespace) -> Row:
    """One row of the table."""
    trials = [trial(random, size, shift, given.replicates) for _ in range(given.trials)]

    def covered(intervals: Sequence[tuple[float, float]]) -> float:
        return float(np.mean([low <= true <= high for low, high in intervals]))

    def width(intervals: Sequence[tuple[float, float]]) -> float:
        return float(np.mean([high - low for low, high in intervals]))

    plain, corrected = [each.plain for each in trials], [each.corrected for each in trials]
    share = covered(corrected)
    return {
        "shift": shift,
        "models": size,
        "true": true,
        "mean_estimate": float(np.mean([each.estimate for each in trials])),
        "percentile": covered(plain),
        "corrected": share,
        "error": float(np.sqrt(max(share * (1 - share), 0.25 / given.trials) / given.trials)),
        "percentile_width": width(plain),
        "corrected_width": width(corrected),
        "trials": given.trials,
        "replicates": given.replicates,
    }


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    panels = figure.subplots(1, len(SHIFTS), sharey=True)
    for panel, shift in zip(panels, SHIFTS, strict=True):
        here = [row for row in rows if row["shift"] == shift]
        sizes = [str(row["models"]) for row in here]
        panel.axhline(0.95, color="0.6", linewidth=1)
        panel.plot(sizes, [row["percentile"] for row in here], "s--", color="#cc6677", label="plain percentiles")
        panel.errorbar(
            sizes,
            [row["corrected"] for row in here],
            [row["error"] for row in here],
            fmt="o-",
            color="#4477aa",
            label="ours",
        )
        panel.set(title=f"shift {shift:g}", xlabel="models a group", ylim=(-0.03, 1.03))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of 95 % intervals that hold the true drift")
    panels[0].legend(frameon=False, loc="center left")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interval_coverage", description=__doc__)
    parser.add_argument("--trials", type=int, default=400, help="simulated pairs of groups a row")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--truth", type=int, default=20_000, help="models a group for the true drift")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    rows: list[Row] = []
    for shift in SHIFTS:
        # Two groups of the same centre do not differ, whatever a finite sample of models says.
        true = drift_between(_many(random, given.truth, 0.0), _many(random, given.truth, shift)) if shift else 0.0
        for size in SIZES:
            began = time.perf_counter()
            rows.append(coverage(random, shift, size, true, given))
            print(f"shift {shift:g}, {size} models: {time.perf_counter() - began:.1f} s", flush=True)
    ours, plain = [row["corrected"] for row in rows], [row["percentile"] for row in rows]
    text = (
        f"coverage of nominal 95 %: ours {min(ours):.2f} to {max(ours):.2f}, "
        f"plain percentiles {min(plain):.2f} to {max(plain):.2f} (promised: ours never below 0.80)"
    )
    finish("interval_coverage", given.out, rows, COLUMNS, _draw, [Goal(text, min(ours) >= 0.80)])


def _many(random: np.random.Generator, number_of: int, shift: float) -> Float64:
    """(1, C, B) the sum of many models, a few at a time."""
    parts = [models(random, min(500, number_of - start), shift).sum(axis=0) for start in range(0, number_of, 500)]
    total: Float64 = np.sum(parts, axis=0)[None]
    return total


if __name__ == "__main__":
    main()
