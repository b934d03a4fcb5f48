"""95 % intervals of one drift between two groups of models, in six ways: ours, and what it was chosen from.

Davison & Hinkley 1997 (percentiles, §5.3), Efron 1987 (BCa), Tukey 1958 (normal interval of the jackknife).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.drift import Resampled
from analysis.measures.jackknife import jackknife
from analysis.measures.weighting import UnitHistograms, without_each

#: Key → title. ``shifted`` was ours until version 2: percentiles moved down by twice the bootstrap's estimate of bias.
INTERVALS = {
    "percentile": "percentiles",
    "shifted": "shifted percentiles",
    "bca": "BCa",
    "normal": "jackknife, normal",
    "free": "jackknife, Student",
    "student": "the same, upper bound from 0 on (ours)",
}

NORMAL = NormalDist()
Z = NORMAL.inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Estimates:
    """Of one trial: the drift, without bias, and (low, high) of each of ``INTERVALS``."""

    drift: float
    debiased: float
    intervals: Mapping[str, tuple[float, float]]


def estimates(found: UnitHistograms, measure: Resampled, replicates: int, random: np.random.Generator) -> Estimates:
    """Of two groups, nested or with every unit in both."""
    first, second = found.group_sums
    drift = float(measure.pairs(first[None], second[None])[0])
    ours = jackknife(found, measure.pairs)
    debiased, error = float(ours.debiased[0, 1]), float(ours.error[0, 1])
    drawn = bootstrap(found, measure, replicates, random)
    percentiles = np.quantile(drawn, [0.025, 0.975])
    low, high = (float(bound[0, 1]) for bound in ours.interval(0.95))
    made = {
        "percentile": percentiles,
        "shifted": percentiles - 2 * (drawn.mean() - drift),
        "bca": bca(found, measure, drawn, drift),
        "free": (low, high - max(0.0, -debiased)),
        "normal": (debiased - Z * error, debiased + Z * error),
        "student": (low, high),
    }
    return Estimates(drift, debiased, {key: (max(0.0, float(a)), max(0.0, float(b))) for key, (a, b) in made.items()})


def bootstrap(found: UnitHistograms, measure: Resampled, replicates: int, random: np.random.Generator) -> Float64:
    """(replicates,) drifts of as many units drawn with replacement, within their group or, if shared, as a whole."""
    is_shared, together = len(np.unique(found.unit)) < len(found.unit), None
    sides = []
    for group in range(2):
        rows = found.rows_of(group)
        if together is None or not is_shared:
            together = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=replicates)
        counts = together.astype(np.float64) @ found.counts[rows].reshape(len(rows), -1)
        sides.append(counts.reshape(replicates, *found.counts.shape[1:]))
    return measure.pairs(sides[0], sides[1])


def bca(found: UnitHistograms, measure: Resampled, drawn: Float64, drift: float) -> Float64:
    """(2,) bias-corrected and accelerated percentiles; the acceleration from what leaving out each unit does."""
    sums, without = found.group_sums, []
    for group in range(2):
        rows, other = found.rows_of(group), sums[1 - group]
        left = without_each(found.counts[rows], sums[group])
        drifts = measure.pairs(left, np.repeat(other[None], len(rows), axis=0))
        without.append((drifts.mean() - drifts) * (len(rows) - 1) / len(rows))
    influence = np.bincount(found.unit, np.concatenate(without))
    squares = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * squares**1.5) if squares else 0.0
    below = min(max(float((drawn < drift).mean()), 0.5 / len(drawn)), 1 - 0.5 / len(drawn))
    bias = NORMAL.inv_cdf(below)
    shares = [NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in (-Z, Z)]
    return np.quantile(drawn, shares)
