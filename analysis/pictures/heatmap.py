"""A matrix of drifts as a picture: every label whole, whatever the names, from 1 group to thousands.

Sizes are worked out in inches from the measured texts, then the figure is made to fit: nothing is cut or overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.arrays.types import Bool, Float64
from analysis.pictures.canvas import GAP, Canvas, names_as_data
from analysis.pictures.style import DRIFT_COLOURS, INK
from analysis.wording import decimals_of, elide, one_line

#: Longer labels lose their middle; the tables keep the whole name.
LABEL_WIDTH = 44

#: (groups, inches a cell): between them interpolated, beyond them the picture stays 40 inches wide.
_CELLS = ((4, 0.9), (12, 0.56), (30, 0.38), (60, 0.26), (200, 0.13), (1000, 0.04))
_LARGEST = 40.0

#: Up to so many groups the value is written into each cell.
_WITH_VALUES = 30

#: Up to so many groups flagged cells are hatched, and cells marked.
_HATCHED_UP_TO = 60

_BAR = 0.2  # inches, width of the colour bar


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """What is drawn.

    Attributes:
        labels: (G,) names of the groups; data, never markup.
        values: (G, G) float64.
        title: one line.
        remarks: lines below the title: how much it rests on, what was left out.
        unit: names the colour bar.
        hatched: (G, G) cells to take with caution; None: none.
        dots, rings: (G, G) cells with a mark in their corner; None: none.
    """

    labels: Sequence[str]
    values: Float64
    title: str
    remarks: Sequence[str]
    unit: str
    hatched: Bool | None = None
    dots: Bool | None = None
    rings: Bool | None = None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Inches, but points for ``font``."""

    cell: float
    font: float
    every: int  # every n-th group is labelled
    slant: int  # degrees of the column labels
    side: float
    row_labels: float
    column_labels: float
    grow: float  # factor on the header's and colour bar's texts, so that they stand beside a large matrix


def draw_heatmap(heatmap: Heatmap) -> Figure:
    """The figure, sized to its content; save it with ``Figure.savefig`` as it is, without a tight box."""
    labels = [elide(one_line(label), LABEL_WIDTH) for label in heatmap.labels]
    title, *remarks = (one_line(line) for line in (heatmap.title, *heatmap.remarks))
    with names_as_data([*labels, title, *remarks, heatmap.unit]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        layout = _layout(canvas, labels)
        if layout.every > 1:
            remarks.append(f"one group in {layout.every} is labelled; the table beside this picture names them all")
        canvas.scale = grow = layout.grow
        largest = float(heatmap.values.max())
        bar = grow * (_BAR + 0.4) + canvas.text_width([f"{largest:.3g}00"], 8 * grow)
        body = layout.row_labels + layout.side + grow * 0.25 + bar
        title = fonts.drawable(title)
        inner = max(body, min(canvas.title_width(title), 9.0), 4.6)
        bar_height = max(layout.side, canvas.text_width([heatmap.unit], 9 * grow) + 0.1)
        bottom = max(layout.column_labels, bar_height - layout.side) + GAP
        canvas.open(inner + 2 * GAP, layout.side + bottom, title, [fonts.drawable(remark) for remark in remarks])
        left = GAP + layout.row_labels
        axes = canvas.axes(left, canvas.top, layout.side, layout.side)
        norm = Normalize(vmin=0.0, vmax=largest if largest > 0 else 1.0)
        _paint(axes, heatmap.values, norm, layout)
        # Beyond that the strokes would hide the colours; the table flags each pair.
        if heatmap.hatched is not None and heatmap.hatched.any() and len(labels) <= _HATCHED_UP_TO:
            _hatch(axes, heatmap.hatched)
        for cells, face in ((heatmap.dots, INK), (heatmap.rings, "none")):
            if cells is not None and len(labels) <= _HATCHED_UP_TO:
                _mark(axes, cells, face, layout.cell)
        _label(axes, labels, layout)
        beside = canvas.axes(left + layout.side + grow * 0.25, canvas.top, grow * _BAR, bar_height)
        _paint_bar(canvas.figure, beside, norm, heatmap.unit, grow)
    return canvas.figure


def _paint_bar(figure: Figure, axes: Axes, norm: Normalize, unit: str, grow: float) -> None:
    bar = figure.colorbar(ScalarMappable(norm=norm, cmap=DRIFT_COLOURS), cax=axes)
    bar.set_label(unit, fontsize=9 * grow, color=INK)
    bar.ax.tick_params(labelsize=8 * grow, colors=INK)
    bar.ax.yaxis.set_major_formatter("{x:.3g}")
    bar.outline.set_visible(False)


def _layout(canvas: Canvas, labels: Sequence[str]) -> _Layout:
    number = len(labels)
    groups, inches = zip(*_CELLS, strict=True)
    cell = min(float(np.interp(number, groups, inches)), _LARGEST / number)
    font = min(10.0, max(5.5, cell * 72 * 0.72))
    every = max(1, math.ceil(font * 1.12 / 72 / cell))
    widest = canvas.text_width(labels[::every], font)
    slant = 45 if number <= 30 else 90
    side = cell * number
    grow = min(2.4, max(1.0, side / 8))
    row_labels = widest + GAP
    column_labels = widest * math.sin(math.radians(slant)) + font / 72 + GAP
    return _Layout(cell, font, every, slant, side, row_labels, column_labels, grow)


def _paint(axes: Axes, values: Float64, norm: Normalize, layout: _Layout) -> None:
    number = len(values)
    largest = float(values.max())
    image = axes.imshow(values, cmap=DRIFT_COLOURS, norm=norm, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if number <= 60:
        edges = np.arange(1, number) - 0.5
        style: dict[str, Any] = {"color": "white", "linewidth": 1.2 if number <= _WITH_VALUES else 0.5}
        axes.hlines(edges, -0.5, number - 0.5, **style)
        axes.vlines(edges, -0.5, number - 0.5, **style)
    if number <= _WITH_VALUES:
        decimals = decimals_of(largest)
        # The widest value fills four fifths of its cell.
        size = min(10.0, layout.cell * 72 * 0.8 / (0.64 * len(f"{largest:.{decimals}f}")))
        for (row, column), value in np.ndenumerate(values):
            red, green, blue, _ = image.cmap(norm(value))
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45
            text = "0" if value == 0 else f"{value:.{decimals}f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if dark else INK)


def _hatch(axes: Axes, cells: Bool) -> None:
    """Thin strokes over the flagged cells, under the values: the colour and the number stay readable."""
    squares = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in np.argwhere(cells)]
    strokes = "//" if len(cells) <= 12 else "///"
    style: dict[str, Any] = {"facecolor": "none", "edgecolor": "#8c8c8c", "linewidth": 0, "zorder": 1.5}
    with matplotlib.rc_context({"hatch.linewidth": 0.7}):
        axes.add_collection(PatchCollection(squares, hatch=strokes, **style))


def _mark(axes: Axes, cells: Bool, face: str, inches: float) -> None:
    """A circle in the upper right corner of the cells; its dark line on a light one shows on every colour."""
    row, column = np.nonzero(cells)
    for line, colour in ((2.6, "white"), (1.1, INK)):
        style: dict[str, Any] = {"s": (inches * 72 * 0.14) ** 2, "linewidth": line, "edgecolor": colour, "zorder": 3}
        axes.scatter(column + 0.36, row - 0.36, facecolor=face, **style)


def _label(axes: Axes, labels: Sequence[str], layout: _Layout) -> None:
    style: dict[str, Any] = {"fontsize": layout.font, "color": INK, "clip_on": False}
    offset = GAP / 2 / layout.cell  # in cells, the unit of the axes
    bottom = len(labels) - 0.5 + offset
    for index in range(0, len(labels), layout.every):
        axes.text(-0.5 - offset, index, labels[index], ha="right", va="center_baseline", **style)
        if layout.slant == 90:
            axes.text(index, bottom, labels[index], ha="center", va="top", rotation=90, **style)
        else:
            anchored: dict[str, Any] = {"rotation": layout.slant, "rotation_mode": "anchor"}
            axes.text(index + 0.15, bottom, labels[index], ha="right", va="center", **anchored, **style)
