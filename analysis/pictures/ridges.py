"""Ridge plots: the density of each of nine components for each group, one group below the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from analysis.arrays.types import Float64
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data
from analysis.pictures.style import FAINT, INK, ORANGE, RULE
from analysis.wording import count, elide, one_line

#: Longer labels lose their middle; the tables keep the whole name.
LABEL_WIDTH = 44

#: More groups than this would make the picture taller than anything shows.
MOST_ROWS = 120

#: (groups, inches from one group to the next), between them interpolated.
_PITCH = ((3, 0.62), (12, 0.36), (60, 0.15), (120, 0.11))

#: (groups, rows that the highest ridge takes): ridges reach over those above them, the more the closer they stand.
_REACH = ((3, 1.4), (12, 1.8), (60, 2.6))

#: Peaks higher than so many times the median peak of a component are cut off: they would flatten all others.
_TALLEST = 2.0

#: Each component is shown over the range that holds all but this share of every group.
_TAIL = 5e-4

_PANEL, _BETWEEN = 1.08, 0.14
_FILL, _LINE = "#B9CFE4", "#2C5985"


def draw_ridges(
    labels: Sequence[str],
    densities: Float64,
    edges: Float64,
    ratio: Float64,
    caption: Caption,
    others: Float64 | None = None,
) -> Figure:
    """Nine columns, one per component, a ridge per group.

    Args:
        labels: (G,) names of the groups; data, never markup.
        densities: (G, 9, B).
        edges: (B + 1,) of the bins.
        ratio: (9,) explained variance ratio of the components.
        caption: what stands above.
        others: (G, 9, B) a second density of each group, drawn as a line over the first.
    """
    remarks = [one_line(remark) for remark in caption.remarks]
    if len(labels) > MOST_ROWS:
        remarks.append(f"the first {MOST_ROWS} of {len(labels)} groups are drawn; the table has them all")
    labels = [elide(one_line(label), LABEL_WIDTH) for label in labels[:MOST_ROWS]]
    densities = densities[:MOST_ROWS]
    lines = np.empty((0, *densities.shape[1:])) if others is None else others[:MOST_ROWS]
    peaks = np.concatenate([densities, lines]).max(axis=2)
    heights = np.minimum(peaks.max(axis=0), _TALLEST * np.median(peaks, axis=0))
    above_all = (peaks > heights * (1 + 1e-12)).any(axis=1).reshape(-1, len(densities))
    cut = int(above_all.any(axis=0).sum())
    remarks.append("each component has its own scales, the same for all groups; vertical line: 0")
    if cut:
        remarks.append(
            f"cut off flat: peaks beyond {_TALLEST:g} times the component's median peak ({count(cut, 'group')})"
        )
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        groups, inches = zip(*_PITCH, strict=True)
        pitch = float(np.interp(len(labels), groups, inches))
        points = float(np.clip(pitch * 72 * 0.72, 5.5, 9.5))
        left = GAP + 1.04 * canvas.text_width(labels, points) + 0.14  # hinting may widen a text
        few, rows = zip(*_REACH, strict=True)
        reach = float(np.interp(len(labels), few, rows))
        above = pitch * (reach - 1)
        high = pitch * len(labels) + above
        width = left + 9 * (_PANEL + _BETWEEN) + GAP
        canvas.open(width, high + 0.8, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks])
        top = canvas.top + 0.34
        for index, label in enumerate(labels):
            y = top + above + pitch * (index + 1) - min(0.3 * pitch, 0.08)
            canvas.write(left - 0.1, y, label, points, INK, ha="right", va="center_baseline")
        for component in range(9):
            x = left + component * (_PANEL + _BETWEEN)
            canvas.write(x + _PANEL / 2, canvas.top, f"component {component + 1}", 8, INK, ha="center", va="top")
            share = f"{ratio[component]:.1%} of variance"
            canvas.write(x + _PANEL / 2, canvas.top + 0.15, share, 6.5, FAINT, ha="center", va="top")
            axes = canvas.axes(x, top, _PANEL, high)
            shown = densities[:, component], lines[:, component]
            _draw_column(axes, *shown, edges, float(heights[component]), reach)
    return canvas.figure


def _draw_column(axes: Axes, densities: Float64, lines: Float64, edges: Float64, height: float, reach: float) -> None:
    number = len(densities)
    low, high = _limits(np.concatenate([densities, lines]), edges)
    centres = (edges[:-1] + edges[1:]) / 2
    axes.set_xlim(low, high)
    axes.set_ylim(number, 1 - reach)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=7, colors=INK, color=FAINT, length=2.5)
    axes.xaxis.set_major_locator(_whole_ticks(low, high))
    axes.axvline(0.0, color=RULE, linewidth=0.7, zorder=0)
    width = float(np.interp(number, (12, 60), (1.0, 0.6)))
    x = np.concatenate([[edges[0]], centres, [edges[-1]]])

    def outline(density: Float64, index: int) -> Float64:
        ridge = np.minimum(density / height, 1.0) * reach * 0.95
        return index + 1 - np.concatenate([[0.0], ridge, [0.0]])

    for index in range(number):
        y = outline(densities[index], index)
        # Later groups lie in front: each hides the feet of those above, never its own.
        axes.fill_between(x, y, index + 1, facecolor=_FILL, alpha=0.82, linewidth=0, zorder=1 + index)
        axes.plot(x, y, color=_LINE, linewidth=width, zorder=1 + index + 0.5)
        if len(lines):
            axes.plot(x, outline(lines[index], index), color=ORANGE, linewidth=width, zorder=1 + index + 0.6)


def _whole_ticks(low: float, high: float) -> MultipleLocator:
    return MultipleLocator(1.0 if high - low > 1.6 else 0.5)


def _limits(densities: Float64, edges: Float64) -> tuple[float, float]:
    """The range outside of which every group has at most ``_TAIL`` of its filters on either side."""
    share = np.cumsum(densities * np.diff(edges), axis=1)
    share /= share[:, -1:]
    first = int((share > _TAIL).argmax(axis=1).min())
    last = int((share >= 1 - _TAIL).argmax(axis=1).max())
    return float(edges[first]), float(edges[last + 1])
