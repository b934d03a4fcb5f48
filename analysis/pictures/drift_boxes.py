"""Drifts as boxes: of the pairs of an axis, or of one group to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure

from analysis.arrays.types import Float64
from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import BLUE, INK, LIGHT, RULE
from analysis.wording import elide, one_line

_LABEL_WIDTH = 34

#: More boxes than this would make the picture taller than anything shows.
_MOST_BOXES = 60

_STYLE: Mapping[str, Any] = {
    **{"patch_artist": True, "showmeans": True, "showcaps": False, "manage_ticks": False},
    "boxprops": {"facecolor": LIGHT, "edgecolor": BLUE, "linewidth": 0.9},
    "whiskerprops": {"color": BLUE, "linewidth": 1.0},
    "medianprops": {"color": INK, "linewidth": 1.5},
    "meanprops": {"marker": "D", "markersize": 3.5, "markerfacecolor": INK, "markeredgecolor": INK},
    "flierprops": {"marker": "o", "markersize": 2.6, "markerfacecolor": BLUE, "markeredgewidth": 0, "alpha": 0.55},
}


def drift_box(label: str, drifts: Float64) -> dict[str, Any]:
    """The box of (N,) drifts, N ≥ 1, in the words of ``matplotlib.cbook.boxplot_stats``."""
    (box,) = boxplot_stats(drifts)
    return {**box, "label": label}


def draw_drift_boxes(boxes: Sequence[Mapping[str, Any]], caption: Caption, unit: str) -> Figure:
    """A row for each of the boxes (``drift_box``); of too many the first and the last."""
    remarks = [one_line(remark) for remark in caption.remarks]
    remarks.append("box: quartiles; whiskers: within 1.5 box lengths; dots: beyond; diamond: mean")
    if len(boxes) > _MOST_BOXES:
        remarks.append(f"the {_MOST_BOXES // 2} farthest and nearest of {len(boxes)} are drawn")
        boxes = [*boxes[: _MOST_BOXES // 2], *boxes[-_MOST_BOXES // 2 :]]
    labels = [elide(box["label"], _LABEL_WIDTH) for box in boxes]
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        left = 0.3 + canvas.text_width(labels, 9)
        height = float(np.interp(len(boxes), (5, 40), (0.42, 0.22))) * len(boxes) + 0.1
        canvas.open(
            left + 5.2, height + 0.6, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks]
        )
        axes = canvas.axes(left, canvas.top, 4.9, height)
        places = np.arange(len(boxes))
        axes.bxp([dict(box) for box in boxes], positions=places, widths=0.5, orientation="horizontal", **_STYLE)
        plain_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_ylim(len(boxes) - 0.5, -0.5)
        axes.set_xlabel(unit, fontsize=9, color=INK)
        for index, label in enumerate(labels):
            y = canvas.top + height * (index + 0.5) / len(boxes)
            canvas.write(left - 0.1, y, label, 9, INK, ha="right", va="center_baseline")
    return canvas.figure
