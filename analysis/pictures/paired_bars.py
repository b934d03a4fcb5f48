"""Drift between two sides by bin: a bar for both sides together, a dot for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.arrays.types import Float64
from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import BLUE, INK, LIGHT, ORANGE, RULE
from analysis.wording import elide, one_line

_LABEL_WIDTH = 34


@dataclass(frozen=True, slots=True, eq=False)
class DriftBar:
    """One bin: ``label``, ``drift`` of the pooled sides, (P,) of the ``pairs``, whether it is ``found`` to be real."""

    label: str
    drift: float
    pairs: Float64
    found: bool


def draw_drift_bars(bars: Sequence[DriftBar], caption: Caption, unit: str) -> Figure:
    """A row for each bin, in order."""
    remarks = [one_line(remark) for remark in caption.remarks]
    remarks.append("bar: both sides, pooled; dots: the pairs by themselves")
    labels = [elide(one_line(bar.label), _LABEL_WIDTH) for bar in bars]
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        left = 0.3 + canvas.text_width(labels, 9)
        pitch = float(np.interp(len(bars), (5, 40), (0.36, 0.22)))
        height = pitch * len(bars) + 0.1
        canvas.open(left + 5.2, height + 0.6, fonts.drawable(caption.title), [fonts.drawable(r) for r in remarks])
        axes = canvas.axes(left, canvas.top, 4.9, height)
        plain_axes(axes)
        places = np.arange(len(bars))
        edges = [ORANGE if bar.found else BLUE for bar in bars]
        drifts = np.nan_to_num([bar.drift for bar in bars])
        axes.barh(places, drifts, 0.62, color=LIGHT, edgecolor=edges, linewidth=1.0)
        dots = [np.stack([bar.pairs, np.full(len(bar.pairs), place)]) for place, bar in enumerate(bars)]
        axes.plot(*np.hstack(dots), ".", markersize=4, color=INK, alpha=0.5, zorder=3)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel(unit, fontsize=9, color=INK)
        for place, (bar, label) in enumerate(zip(bars, labels, strict=True)):
            y = canvas.top + height * (place + 0.5) / len(bars)
            weight = "bold" if bar.found else "normal"
            canvas.write(left - 0.1, y, label, 9, INK, ha="right", va="center_baseline", fontweight=weight)
    return canvas.figure
