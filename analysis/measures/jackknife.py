"""Drift without the bias of few units, and how sure it is: each unit of observation left out in turn.

The drift of few units is too large: it holds their spread as well as the groups' difference. Without one unit it is
larger still, and by how much says what all of them leave (Quenouille 1956; of two samples Arvesen 1969):

    D − Σ over groups g of (m_g − 1) · (mean over i in g of D without i − D),        m_g units in g

It may be below 0. Its variance is Tukey's, Σ_g (m_g − 1)/m_g · Σ_i (D without i − their mean)², its degrees of freedom
Satterthwaite's (1946), and its interval that of Student around it. The upper bound is taken from 0 where the estimate
is below, since no drift is: an estimate far below 0 is no sign that the drift is nearer to it than others would show.
Units with layers in both groups of a pair (as on the axis depth) are one sample of what lies on either side: each unit
of the two is left out of both at once, and m is their number. Everything comes from the groups' sums less one unit's
counts, without a random number.

``benchmarks/interval_coverage.py`` compares this interval with percentiles of a bootstrap over units, shifted by their
bias, with BCa and with others (docs/benchmarks.md).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.drift import PairMeasure
from analysis.measures.student import student_quantiles
from analysis.measures.weighting import UnitHistograms, without_each


@dataclass(frozen=True, slots=True, eq=False)
class Jackknife:
    """Of every pair of G groups, (G, G) each, symmetric; NaN where a group has one unit.

    Attributes:
        debiased: the drift without its bias; 0 on the diagonal.
        error: its standard error.
        freedom: degrees of freedom of ``error``, 1 and more.
    """

    debiased: Float64
    error: Float64
    freedom: Float64

    def interval(self, level: float) -> tuple[Float64, Float64]:
        """Lower and upper bounds of the drift."""
        half = student_quantiles((1 + level) / 2, self.freedom) * self.error
        return np.maximum(self.debiased - half, 0.0), np.maximum(self.debiased, 0.0) + half


def jackknife(histograms: UnitHistograms, measure: PairMeasure) -> Jackknife:
    """Of every pair of groups. ``measure``: from counts (R, C, B) twice to the drifts (R,), NaN without a count."""
    number, sums = histograms.groups, histograms.group_sums
    debiased, error = np.zeros((number, number)), np.zeros((number, number))
    freedom = np.ones((number, number))
    for a, b in itertools.combinations(range(number), 2):
        drift = float(measure(sums[a, None], sums[b, None])[0])
        debiased[[a, b], [b, a]], error[[a, b], [b, a]], freedom[[a, b], [b, a]] = estimate(
            drift, [measure(*sides) for sides in _left_out(histograms, sums, a, b)]
        )
    return Jackknife(debiased, error, freedom)


def estimate(drift: float, without: list[Float64]) -> tuple[float, float, float]:
    """See ``Jackknife``: of one drift, from (m,) drifts without each unit of each of the samples it was made from."""
    units = np.array([len(each) for each in without])
    means = np.array([each.mean() for each in without])
    bias = float((units - 1) @ (means - drift))
    squares = np.array([((each - mean) ** 2).sum() for each, mean in zip(without, means, strict=True)])
    variances = squares * (units - 1) / units
    total = float(variances.sum())
    if total == 0:
        return drift - bias, 0.0, float(units.min() - 1)
    return drift - bias, total**0.5, 1 / float(((variances / total) ** 2 / np.maximum(units - 1, 1)).sum())


def _left_out(found: UnitHistograms, sums: Float64, a: int, b: int) -> list[tuple[Float64, Float64]]:
    """Counts of both groups without each unit, (m, C, B) twice for each sample of units."""
    rows_a, rows_b = found.rows_of(a), found.rows_of(b)
    units_a, units_b = found.unit[rows_a], found.unit[rows_b]
    if not np.intersect1d(units_a, units_b).size:
        without_a, without_b = without_each(found.counts[rows_a], sums[a]), without_each(found.counts[rows_b], sums[b])
        whole_a, whole_b = (np.repeat(sums[g, None], m, axis=0) for g, m in ((a, len(rows_b)), (b, len(rows_a))))
        return [(without_a, whole_b), (whole_a, without_b)]
    units, sides = np.union1d(units_a, units_b), []
    for g, rows, own in ((a, rows_a, units_a), (b, rows_b, units_b)):
        counts = np.zeros((len(units), *sums.shape[1:]))
        counts[np.searchsorted(units, own)] = found.counts[rows]
        sides.append(without_each(counts, sums[g]))
    return [(sides[0], sides[1])]
