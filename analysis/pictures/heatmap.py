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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.arrays.types import Bool, Float64
from analysis.pictures.fonts import fonts_for
from analysis.pictures.texts import text_width, wrapped
from analysis.wording import decimals_of, elide, one_line

#: Perceptually uniform, light (alike) to dark (far apart), readable in grey and by the colour-blind.
#: Cut before it turns black, where differences are lost.
COLOUR_MAP = ListedColormap(matplotlib.colormaps["magma_r"](np.linspace(0.0, 0.88, 256)), name="drift")

#: Longer labels lose their middle; the tables keep the whole name.
LABEL_WIDTH = 44

#: (groups, inches a cell): between them interpolated, beyond them the picture stays 40 inches wide.
_CELLS = ((4, 0.9), (12, 0.56), (30, 0.38), (60, 0.26), (200, 0.13), (1000, 0.04))
_LARGEST = 40.0

#: Up to so many groups the value is written into each cell.
_WITH_VALUES = 30

#: Up to so many groups flagged cells are hatched.
_HATCHED_UP_TO = 60

_GAP = 0.12  # inches between parts
_BAR = 0.2  # inches, width of the colour bar
_INK, _FAINT = "#1a1a1a", "#5c5c5c"


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
    """

    labels: Sequence[str]
    values: Float64
    title: str
    remarks: Sequence[str]
    unit: str
    hatched: Bool | None = None


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
    shown = [elide(one_line(label), LABEL_WIDTH) for label in heatmap.labels]
    header = [one_line(line) for line in (heatmap.title, *heatmap.remarks)]
    fonts = fonts_for([*shown, *header, heatmap.unit])
    shown = [fonts.drawable(label) for label in shown]
    header = [fonts.drawable(line) for line in header]
    with matplotlib.rc_context({"font.family": list(fonts.families), "text.usetex": False, "text.parse_math": False}):
        return _compose(shown, header, heatmap)


def _compose(labels: Sequence[str], header: Sequence[str], heatmap: Heatmap) -> Figure:
    figure = Figure(facecolor="white")
    FigureCanvasAgg(figure)
    layout = _layout(figure, labels)
    if layout.every > 1:
        header = [*header, f"one group in {layout.every} is labelled; the table beside this picture names them all"]
    grow = layout.grow
    largest = float(heatmap.values.max())
    bar = grow * (_BAR + 0.4) + text_width(figure, [f"{largest:.3g}00"], 8 * grow)
    body = layout.row_labels + layout.side + grow * 0.25 + bar
    inner = max(body, min(text_width(figure, [header[0]], 13 * grow), 9.0), 4.6)
    lines = wrapped(figure, header[0], 13 * grow, inner)
    remarks = [line for text in header[1:] for line in wrapped(figure, text, 8.5 * grow, inner)]
    top = _GAP + grow * (0.24 * len(lines) + 0.17 * len(remarks) + 0.18)
    bar_height = max(layout.side, text_width(figure, [heatmap.unit], 9 * grow) + 0.1)
    bottom = max(layout.column_labels, bar_height - layout.side) + _GAP
    width, height = inner + 2 * _GAP, top + layout.side + bottom
    figure.set_size_inches(width, height)
    _write_header(figure, lines, remarks, grow)
    left = _GAP + layout.row_labels
    axes = figure.add_axes((left / width, bottom / height, layout.side / width, layout.side / height))
    norm = Normalize(vmin=0.0, vmax=largest if largest > 0 else 1.0)
    _paint(axes, heatmap.values, norm, layout)
    # Beyond that the strokes would hide the colours; the table flags each pair.
    if heatmap.hatched is not None and heatmap.hatched.any() and len(labels) <= _HATCHED_UP_TO:
        _hatch(axes, heatmap.hatched)
    _label(axes, labels, layout)
    at = left + layout.side + grow * 0.25
    foot = bottom + layout.side - bar_height
    bar_axes = figure.add_axes((at / width, foot / height, grow * _BAR / width, bar_height / height))
    _paint_bar(figure, bar_axes, norm, heatmap.unit, grow)
    return figure


def _paint_bar(figure: Figure, axes: Axes, norm: Normalize, unit: str, grow: float) -> None:
    bar = figure.colorbar(ScalarMappable(norm=norm, cmap=COLOUR_MAP), cax=axes)
    bar.set_label(unit, fontsize=9 * grow, color=_INK)
    bar.ax.tick_params(labelsize=8 * grow, colors=_INK)
    bar.ax.yaxis.set_major_formatter("{x:.3g}")
    bar.outline.set_visible(False)


def _layout(figure: Figure, labels: Sequence[str]) -> _Layout:
    number = len(labels)
    groups, inches = zip(*_CELLS, strict=True)
    cell = min(float(np.interp(number, groups, inches)), _LARGEST / number)
    font = min(10.0, max(5.5, cell * 72 * 0.72))
    every = max(1, math.ceil(font * 1.12 / 72 / cell))
    widest = text_width(figure, labels[::every], font)
    slant = 45 if number <= 30 else 90
    side = cell * number
    grow = min(2.4, max(1.0, side / 8))
    row_labels = widest + _GAP
    column_labels = widest * math.sin(math.radians(slant)) + font / 72 + _GAP
    return _Layout(cell, font, every, slant, side, row_labels, column_labels, grow)


def _paint(axes: Axes, values: Float64, norm: Normalize, layout: _Layout) -> None:
    number = len(values)
    largest = float(values.max())
    image = axes.imshow(values, cmap=COLOUR_MAP, norm=norm, interpolation="nearest", aspect="auto")
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
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if dark else _INK)


def _hatch(axes: Axes, cells: Bool) -> None:
    """Thin strokes over the flagged cells, under the values: the colour and the number stay readable."""
    squares = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in np.argwhere(cells)]
    strokes = "//" if len(cells) <= 12 else "///"
    style: dict[str, Any] = {"facecolor": "none", "edgecolor": "#8c8c8c", "linewidth": 0, "zorder": 1.5}
    with matplotlib.rc_context({"hatch.linewidth": 0.7}):
        axes.add_collection(PatchCollection(squares, hatch=strokes, **style))


def _label(axes: Axes, labels: Sequence[str], layout: _Layout) -> None:
    style: dict[str, Any] = {"fontsize": layout.font, "color": _INK, "clip_on": False}
    offset = _GAP / 2 / layout.cell  # in cells, the unit of the axes
    bottom = len(labels) - 0.5 + offset
    for index in range(0, len(labels), layout.every):
        axes.text(-0.5 - offset, index, labels[index], ha="right", va="center_baseline", **style)
        if layout.slant == 90:
            axes.text(index, bottom, labels[index], ha="center", va="top", rotation=90, **style)
        else:
            anchored: dict[str, Any] = {"rotation": layout.slant, "rotation_mode": "anchor"}
            axes.text(index + 0.15, bottom, labels[index], ha="right", va="center", **anchored, **style)


def _write_header(figure: Figure, lines: Sequence[str], remarks: Sequence[str], grow: float) -> None:
    width, height = figure.get_size_inches()
    at = height - _GAP
    for line in lines:
        figure.text(_GAP / width, at / height, line, fontsize=13 * grow, fontweight="bold", color=_INK, va="top")
        at -= 0.24 * grow
    for line in remarks:
        figure.text(_GAP / width, at / height, line, fontsize=8.5 * grow, color=_FAINT, va="top")
        at -= 0.17 * grow
