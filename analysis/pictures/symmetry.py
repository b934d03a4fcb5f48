"""Symmetry of groups: the energy of the nine DCT frequencies as 3x3 tiles, and what is odd under which symmetry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.arrays.types import Float64
from analysis.measures.eigenfilters import Structure
from analysis.measures.symmetry import INDEPENDENT, SYMMETRIES
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.eigenfilters import LABEL_WIDTH, largest_rows
from analysis.pictures.style import ALARM, BLUE, FAINT, INK, RULE, SIGNED_COLOURS
from analysis.wording import count, elide, one_line

_CELL, _BETWEEN = 0.3, 0.16  # inches: of a frequency, between the tiles of two groups
_PANEL, _APART = 1.55, 0.35  # of the shares under one symmetry

#: Up to so many tiles the shares are written into their cells.
_WITH_VALUES = 40

#: Colours span shares from an eighth to eight times that of independent weights.
_SPAN = Normalize(-3, 3)


def draw_symmetry(rows: Sequence[Structure], caption: Caption) -> Figure:
    """A tile of nine frequencies per structure, each with its share in percent, and a bar per symmetry.

    Colours are of log2(9 · share): white is 1/9, what independent weights have; dashed lines are their odd shares.
    """
    rows, remarks = largest_rows(rows, caption)
    remarks += [
        "tiles: share of the energy in each frequency of the 3x3 DCT, half waves down and across, in %",
        "red: more than the 1/9 of independent weights, blue: less; bars: the odd share, dashed: theirs; "
        "antisymmetric: under transposition",
    ]
    labels = [elide(one_line(row.group.label), LABEL_WIDTH) for row in rows]
    sizes = [count(row.moments.count, "filter") for row in rows]
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        left = GAP + max(canvas.text_width(labels, 9.5), canvas.text_width(sizes, 7.5)) + 0.18
        side, pitch = 3 * _CELL, 3 * _CELL + _BETWEEN
        height, bars = pitch * len(rows), left + side + _APART
        width = bars + len(SYMMETRIES) * (_PANEL + _APART) + GAP
        canvas.open(width, height + 0.95, fonts.drawable(caption.title), [fonts.drawable(each) for each in remarks])
        top = canvas.top + 0.25
        canvas.write(left, canvas.top, "frequencies", 9, INK, va="top", fontweight="bold")
        found = [row.symmetry for row in rows]
        _draw_tiles(canvas.axes(left, top, side, height), [each.dct for each in found])
        for column, (name, (title, _)) in enumerate(SYMMETRIES.items()):
            x = bars + column * (_PANEL + _APART)
            canvas.write(x, canvas.top, title, 9, INK, va="top", fontweight="bold")
            shares = np.array([each.odd[name] for each in found])
            _draw_shares(canvas.axes(x, top, _PANEL, height), shares, INDEPENDENT[name])
        for index, (label, size) in enumerate(zip(labels, sizes, strict=True)):
            middle = top + pitch * index + side / 2
            canvas.write(left - 0.14, middle - 0.075, label, 9.5, INK, ha="right", va="center")
            canvas.write(left - 0.14, middle + 0.085, size, 7.5, FAINT, ha="right", va="center")
        _draw_scale(canvas, left, top + height + 0.28)
    return canvas.figure


def _draw_tiles(axes: Axes, shares: Sequence[Float64]) -> None:
    """(3, 3) shares each, below each other, in one mesh with empty rows between."""
    axes.axis("off")
    cells = np.full((4 * len(shares), 3), np.nan)
    pitch = 3 * _CELL + _BETWEEN
    for index, share in enumerate(shares):
        with np.errstate(divide="ignore"):
            cells[4 * index : 4 * index + 3] = np.log2(9 * share)
        for (u, v), value in np.ndenumerate(share):
            if np.isfinite(value) and len(shares) <= _WITH_VALUES:
                colour = "white" if abs(np.log2(max(9 * value, 1e-9))) > 1.8 else INK
                at = ((v + 0.5) * _CELL, pitch * index + (u + 0.5) * _CELL)
                axes.text(*at, f"{100 * value:.1f}", fontsize=6.5, color=colour, ha="center", va="center")
    down = np.append(np.add.outer(np.arange(len(shares)) * pitch, np.arange(4) * _CELL), len(shares) * pitch)
    # No −∞: a frequency without energy is as blue as can be.
    axes.pcolormesh(np.arange(4) * _CELL, down, np.maximum(cells, -9), cmap=SIGNED_COLOURS, norm=_SPAN, rasterized=True)
    axes.set_ylim(len(shares) * pitch, 0)


def _draw_shares(axes: Axes, shares: Float64, independent: float) -> None:
    plain_axes(axes)
    pitch = 3 * _CELL + _BETWEEN
    middles = pitch * np.arange(len(shares)) + 1.5 * _CELL
    axes.barh(middles, np.nan_to_num(shares), 0.28, color=BLUE)
    for y, share in zip(middles, shares, strict=True):
        text = "–" if np.isnan(share) else f"{share:.1%}"
        axes.text(0.0, y - 0.16, text, fontsize=8, color=INK, va="bottom")
    axes.axvline(independent, color=ALARM, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_ylim(pitch * len(shares), 0)
    axes.set_xlim(0, max(0.6, float(np.nan_to_num(shares).max()) * 1.05))
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.grid(axis="x", color=RULE, linewidth=0.6)


def _draw_scale(canvas: Canvas, left: float, top: float) -> None:
    mappable = ScalarMappable(norm=_SPAN, cmap=SIGNED_COLOURS)
    bar = canvas.figure.colorbar(
        mappable, cax=canvas.axes(left, top, 2.4, 0.12), orientation="horizontal", ticks=[-3, -1, 0, 1, 3]
    )
    bar.ax.set_xticklabels(["1/8", "1/2", "1", "2", "8"])
    bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
    bar.outline.set_visible(False)
    canvas.write(left + 2.55, top + 0.06, "times 1/9 of the energy", 7.5, FAINT, va="center")
