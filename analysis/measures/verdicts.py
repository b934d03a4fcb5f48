"""What a drift is evidence of, given how large a drift matters.

An interval above the margin shows a shift of consequence; one below it shows that there is none (the interval form of
an equivalence test, Schuirmann 1987: 95 % bounds are two one-sided tests at 2.5 %). A drift that is merely not
significant shows neither.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.arrays.types import Float64

#: Pairs with at most this adjusted p-value drift more than chance.
LARGEST_Q = 0.05


class Verdict(StrEnum):
    """On one pair; the value is what tables say."""

    shift = "shift"
    no_shift = "no shift"
    undecided = "undecided"


def verdicts(low: Float64, high: Float64, q_value: Float64, margin: float) -> npt.NDArray[np.str_]:
    """(G, G) ``Verdict`` values: ``shift`` where the lower bound is above ``margin`` and q <= 0.05, ``no shift`` where
    the upper one is below it; ``undecided`` elsewhere, also where there is no interval (NaN)."""
    shift = (low > margin) & (q_value <= LARGEST_Q)
    values: npt.NDArray[np.str_] = np.select(
        [shift, high < margin], [str(Verdict.shift), str(Verdict.no_shift)], str(Verdict.undecided)
    )
    return values
