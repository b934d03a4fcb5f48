"""Drift between two sides by bin: a bar for both sides together, beside it a dot for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arrays.types import Float64
from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import BLUE, INK, LIGHT, ORANGE, PEACH, RULE
from analysis.wording import elide, one_line

_LABEL_WIDTH = 34

_PANEL, _BETWEEN = 3.0, 0.35  # inches


@dataclass(frozen=True, slots=True, eq=False)
class DriftBar:
    """One bin: ``label``, ``drift`` of the pooled sides, (P,) of the ``pairs``; ``high``: what swapped sides reach.

    ``found``: it is drawn as more than that.
    """

    label: str
    drift: float
    pairs: Float64
    high: float
    found: bool


def draw_drift_bars(bars: Sequence[DriftBar], caption: Caption, unit: str) -> Figure:
    """A row for each bin, in order."""
    remarks = [one_line(remark) for remark in caption.remarks]
    labels = [elide(one_line(bar.label), _LABEL_WIDTH) for bar in bars]
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        left = 0.3 + 1.1 * canvas.text_width(labels, 9)  # bold is wider
        pitch = float(np.interp(len(bars), (5, 40), (0.36, 0.22)))
        height = pitch * len(bars) + 0.1
        width = left + 2 * (_PANEL + _BETWEEN)
        canvas.open(width, height + 0.8, fonts.drawable(caption.title), [fonts.drawable(r) for r in remarks])
        top, panels = canvas.top + 0.2, []
        for column, heading in enumerate(("both sides, pooled", "pair by pair")):
            x = left + column * (_PANEL + _BETWEEN)
            canvas.write(x, canvas.top, heading, 9, INK, va="top", fontweight="bold")
            panels.append(_panel(canvas.axes(x, top, _PANEL, height), len(bars), unit))
        known = [(place, bar) for place, bar in enumerate(bars) if np.isfinite(bar.drift)]
        for place, bar in known:
            line, area = (ORANGE, PEACH) if bar.found else (BLUE, LIGHT)
            panels[0].barh(place, bar.drift, 0.62, color=area, edgecolor=line, linewidth=1.0)
            panels[0].vlines(bar.high, place - 0.4, place + 0.4, color=INK, linewidth=1.4)
        dots = [np.stack([bar.pairs, np.full(len(bar.pairs), place)]) for place, bar in enumerate(bars)]
        panels[1].plot(*np.hstack(dots), "o", markersize=3.5, color=INK, alpha=0.4, mew=0)
        for axes in panels:
            axes.set_xlim(left=0)
        for place, (bar, label) in enumerate(zip(bars, labels, strict=True)):
            y = top + height * (place + 0.5) / len(bars)
            weight = "bold" if bar.found else "normal"
            canvas.write(left - 0.1, y, label, 9, INK, ha="right", va="center_baseline", fontweight=weight)
    return canvas.figure


def _panel(axes: Axes, rows: int, unit: str) -> Axes:
    plain_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlabel(unit, fontsize=9, color=INK)
    return axes
