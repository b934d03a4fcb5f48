"""The pictures of ``analysis.shift``: a heat map per axis."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from analysis.measures.drift_matrix import AxisShift
from analysis.measures.verdicts import Verdict
from analysis.output.names import file_stem
from analysis.pictures.canvas import Drawing
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.shift.measure import ShiftResult
from analysis.shift.words import verdict_marks
from analysis.wording import count


def drawings(result: ShiftResult) -> Iterator[Drawing]:
    """One per axis."""
    for shift in result.shifts:
        title = f"Drift by {shift.axis}"
        yield Drawing(f"shift_{file_stem(shift.axis)}", title, partial(_matrix, shift, title, result.where))


def _matrix(shift: AxisShift, title: str, where: str | None) -> Figure:
    sizes = (
        count(int(shift.grouping.learned.sum()), "group"),
        count(shift.models, "model"),
        count(shift.grouping.filters, "filter"),
    )
    remarks = [" · ".join(sizes), *([f"where {where}"] if where else []), *shift.notes]
    off_diagonal = shift.few_models & ~np.eye(len(shift.groups), dtype=bool)
    if off_diagonal.any():
        remarks.append(f"hatched: a group of fewer than {shift.min_models} {shift.units}")
    marks = {}
    if (verdicts := shift.verdicts) is not None:
        remarks.append(verdict_marks(shift, "dot", "ring", "no mark"))
        apart = ~np.eye(len(shift.groups), dtype=bool)
        marks = {"dots": (verdicts == Verdict.shift) & apart, "rings": (verdicts == Verdict.no_shift) & apart}
    labels = [group.label for group in shift.groups]
    unit = f"drift D ({shift.divergence})"
    return draw_heatmap(Heatmap(labels, shift.drift, title, remarks, unit, off_diagonal, **marks))
