"""p-values of one family, as of the pairs of a matrix, controlled for their number.

Benjamini & Hochberg (1995) hold the share of false discoveries if the p-values are independent or depend positively, as
those of pairs that share a group do; Benjamini & Yekutieli (2001) hold it under any dependence, for a factor of
Σ 1/i over the pairs. The largest standardised drift of a deal (``Largest``) controls that any pair at all is found
falsely.
"""

from __future__ import annotations

import numpy as np

from analysis.arrays.types import Float64
from analysis.settings import Adjust

#: Where a null is aligned with others, besides its median.
_UPPER = 0.95


def adjusted(p_values: Float64, adjust: Adjust = Adjust.bh) -> Float64:
    """(N,) p-values adjusted for their number by ``bh`` or ``by``; NaN is none of them and stays."""
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order, ranks = known[np.argsort(p_values[known], kind="stable")], np.arange(1, len(known) + 1)
    factor = float((1 / ranks).sum()) if adjust is Adjust.by else 1.0
    scaled = p_values[order] * (factor * len(known)) / ranks
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result


def q_values(p_values: Float64, adjust: Adjust = Adjust.bh) -> Float64:
    """(G, G) ``adjusted`` over the pairs (upper triangle) of one matrix; 1 on the diagonal."""
    upper = np.triu_indices(len(p_values), k=1)
    result = np.ones_like(p_values)
    result[upper] = adjusted(p_values[upper], adjust)
    result.T[upper] = result[upper]
    return result


class Largest:
    """The largest drift over all pairs of each of D deals, each drift in units of its own pair's null.

    Single-step max of Westfall & Young (1993, §2.5). Nulls of different pairs differ in scale, with the numbers of
    models and their spread: so each is shifted by its median and divided by its distance from there to its 95 %
    quantile, the observed drift counting as one deal. Each pair is dealt for itself, which keeps its own p-value valid
    whatever the other groups are: one deal of all groups at once would let a far group widen the null of two near ones,
    and a wide one's narrow its own (Petrondas & Gabriel 1983). So the pairs' deals are independent, where drifts of
    pairs that share a group are not; that errs on the safe side: for means of many models, P(all drifts <= bounds) is
    at least the product of the single probabilities (Gaussian correlation inequality, Royen 2014), and little is
    lost: for 16 groups the 5 % bound is 3.52 standard errors in place of Tukey's 3.43. ``benchmarks/adjusting.py``
    measures both.
    """

    def __init__(self, deals: int) -> None:
        self._largest = np.full(deals, -np.inf)

    def note(self, observed: float, null: Float64) -> float:
        """Take in one pair's null (D,), NaN where a deal has no drift; returns the observed drift in units of it."""
        every = np.append(null, observed)
        middle = np.median(every)
        scale = np.quantile(every, _UPPER) - middle
        above = every - middle
        # Where 95 of 100 deals are alike, any other is beyond all measure.
        standardised = above / scale if scale > 0 else np.where(above > 0, np.inf, np.where(above < 0, -np.inf, 0.0))
        np.fmax(self._largest, standardised[:-1], out=self._largest)
        return float(standardised[-1])

    def p_value(self, standardised: float) -> float:
        """Of one pair, after all were noted: how often the largest drift of a deal is as large (Phipson & Smyth)."""
        return float((1 + (self._largest >= standardised).sum()) / (1 + len(self._largest)))
