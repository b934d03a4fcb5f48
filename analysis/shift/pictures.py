"""The pictures of ``analysis.shift``: a heat map per axis."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from analysis.measures.drift_matrix import AxisShift
from analysis.output.names import file_stem
from analysis.pictures.canvas import Drawing
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.shift.measure import ShiftResult
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
        remarks.append(f"hatched: a group of fewer than {shift.min_models} models")
    labels = [group.label for group in shift.groups]
    return draw_heatmap(Heatmap(labels, shift.drift, title, remarks, f"drift D ({shift.divergence})", off_diagonal))
