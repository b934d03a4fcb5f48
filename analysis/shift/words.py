"""What marks in matrices mean, for every place that shows one."""

from __future__ import annotations

import numpy as np

from analysis.measures.drift_matrix import AxisShift
from analysis.measures.verdicts import LARGEST_Q, Verdict
from analysis.settings import Adjust
from analysis.wording import count


def verdict_marks(shift: AxisShift, of_shift: str, of_none: str, otherwise: str) -> str:
    """How many pairs have which verdict, and what marks it; of a matrix with verdicts."""
    assert shift.verdicts is not None
    learned = shift.grouping.learned
    said = shift.verdicts[np.ix_(learned, learned)][np.triu_indices(int(learned.sum()), k=1)].tolist()
    shifts, none, undecided = (said.count(str(verdict)) for verdict in Verdict)
    return (
        f"margin {shift.margin:g}, of {count(len(said), 'pair')}: {of_shift}: {shifts} shift (interval above it and "
        f"q <= {LARGEST_Q}) · {of_none}: {none} no shift (interval below it) · {otherwise}: {undecided} undecided"
    )


def adjusted_by(shift: AxisShift) -> str:
    """`` by Benjamini–Yekutieli`` where q is not that of Benjamini and Hochberg."""
    return {Adjust.bh: "", Adjust.by: " by Benjamini–Yekutieli", Adjust.max: " by the largest of a deal"}[shift.adjust]
