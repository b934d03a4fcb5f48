"""Two-dimensional densities of coefficients as small square panels on one logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from analysis.arrays.types import Float64, Int64
from analysis.measures.phenotypes import Phenotype
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data
from analysis.pictures.style import DENSITY_COLOURS, FAINT, INK, RULE
from analysis.wording import count, elide, one_line

#: More panels than this are not drawn: those with the most filters are.
MOST_PANELS = 120

#: Characters of a label an inch of panel has room for in the smallest print; longer ones lose their middle.
_CHARACTERS = 20
_SMALLEST = 5.0  # points

_BETWEEN = 0.16  # inches
_HEADING = 0.36  # above a panel, for its name and what it is

#: (panels, inches of a side), between them interpolated; (panels, columns) likewise.
_SIDES = ((1, 2.6), (4, 2.0), (12, 1.6), (40, 1.25), (120, 0.95))

#: How the looks are coloured in the panels' second line; sun, the ordinary one, is faint.
_LOOKS = {Phenotype.SPIKES: "#D55E00", Phenotype.SYMBOLS: "#0072B2", Phenotype.POINT: "#b3261e"}


@dataclass(frozen=True, slots=True, eq=False)
class DensityPanel:
    """One density: its name, (B, B) counts, all filters of the group, and what it looks like."""

    label: str
    counts: Int64
    filters: int
    phenotype: Phenotype


def draw_densities(panels: Sequence[DensityPanel], edges: Float64, pair: tuple[int, int], caption: Caption) -> Figure:
    """Panels in reading order; all share axes and colours. A cell's colour is the share of the panel's filters in it.

    Args:
        panels: what is drawn.
        edges: (B + 1,) of both axes.
        pair: which components, counted from 1.
        caption: what stands above.
    """
    remarks = [one_line(remark) for remark in caption.remarks]
    if len(panels) > MOST_PANELS:
        by_size = sorted(range(len(panels)), key=lambda index: -panels[index].filters)[:MOST_PANELS]
        remarks.append(f"the {MOST_PANELS} of {len(panels)} with the most filters are drawn; the tables have them all")
        panels = [panels[index] for index in sorted(by_size)]
    shares = [panel.counts / max(1, panel.counts.sum()) for panel in panels]
    limits = _limits(panels, edges)
    numbers, sides = zip(*_SIDES, strict=True)
    side = float(np.interp(len(panels), numbers, sides))
    labels = [elide(one_line(panel.label), int(_CHARACTERS * side)) for panel in panels]
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        columns = min(len(panels), max(3, round(math.sqrt(len(panels) * 1.7))))
        rows = -(-len(panels) // columns)
        left, step, pitch = 0.5, side + _BETWEEN, side + _HEADING + 0.14
        width = max(left + columns * step + 0.85, 6.6)
        canvas.open(
            width,
            rows * pitch + 0.5,
            fonts.drawable(caption.title),
            [fonts.drawable(remark) for remark in remarks],
        )
        norm = _norm(shares)
        for index, (panel, share) in enumerate(zip(panels, shares, strict=True)):
            row, column = divmod(index, columns)
            x, y = left + column * step, canvas.top + row * pitch
            outer = (column == 0, index + columns >= len(panels))
            points = _fitting(canvas, labels[index], side, 7.5)
            canvas.write(x, y + 0.13, labels[index], points, INK, va="bottom")
            look = panel.phenotype
            text = (
                f"{count(panel.filters, 'filter')} · {look}"
                if look is not Phenotype.FEW
                else f"{panel.filters} filters"
            )
            colour = _LOOKS.get(look, FAINT)
            canvas.write(x, y + 0.17, text, _fitting(canvas, text, side, 6.5), colour, va="top")
            _draw_panel(canvas, (x, y + _HEADING, side), share, edges, limits, norm, outer)
        middle = canvas.top + _HEADING
        canvas.write(left, canvas.height - 0.1, f"component {pair[0]} →", 8, INK, va="bottom")
        canvas.write(GAP, middle, f"component {pair[1]} →", 8, INK, va="top", rotation="vertical")
        bar_axes = canvas.axes(left + columns * step + 0.04, middle, 0.13, min(2.6, rows * pitch - _HEADING - 0.14))
        bar = canvas.figure.colorbar(ScalarMappable(norm=norm, cmap=DENSITY_COLOURS), cax=bar_axes)
        bar.set_label("share of filters in a cell", fontsize=8, color=INK)
        bar.set_ticks(_colour_ticks(norm))
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=7, colors=INK, length=2)
        bar.outline.set_visible(False)
    return canvas.figure


def _fitting(canvas: Canvas, text: str, room: float, points: float) -> float:
    """``points``, or less where ``text`` would be wider than its panel."""
    wide = 1.06 * canvas.text_width([text], points)  # hinting at another resolution may widen it
    return points if wide <= room else max(_SMALLEST, points * room / wide)


def _draw_panel(
    canvas: Canvas,
    place: tuple[float, float, float],
    share: Float64,
    edges: Float64,
    limits: tuple[float, float, float, float],
    norm: LogNorm,
    outer: tuple[bool, bool],
) -> None:
    x, y, side = place
    axes = canvas.axes(x, y, side, side)
    axes.axhline(0, color=RULE, linewidth=0.5, zorder=0)
    axes.axvline(0, color=RULE, linewidth=0.5, zorder=0)
    masked = np.ma.masked_equal(share.T, 0.0)
    axes.pcolormesh(edges, edges, masked, cmap=DENSITY_COLOURS, norm=norm, rasterized=True)
    axes.set_xlim(limits[0], limits[1])
    axes.set_ylim(limits[2], limits[3])
    axes.set_xticks(_ticks(limits[0], limits[1]))
    axes.set_yticks(_ticks(limits[2], limits[3]))
    axes.spines[:].set_color(RULE)
    axes.tick_params(labelsize=6.5, colors=INK, color=FAINT, length=2)
    axes.tick_params(labelleft=outer[0], left=outer[0], labelbottom=outer[1], bottom=outer[1])


def _ticks(low: float, high: float) -> list[int]:
    return [tick for tick in range(math.ceil(low), math.floor(high) + 1) if tick % (2 if high - low > 3 else 1) == 0]


def _colour_ticks(norm: LogNorm) -> list[float]:
    """Powers of ten, with twice and five times them where there are few."""
    low, high = math.log10(float(norm.vmin or 1e-4)), math.log10(float(norm.vmax or 1.0))
    factors = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
    return [tick for tick in ticks if 10**low <= tick <= 10**high]


def _limits(panels: Sequence[DensityPanel], edges: Float64) -> tuple[float, float, float, float]:
    """A square that holds every filter of all panels."""
    total = np.sum([panel.counts for panel in panels], axis=0)
    if not total.any():
        return float(edges[0]), float(edges[-1]), float(edges[0]), float(edges[-1])
    found = []
    for axis in (1, 0):
        there = np.flatnonzero(total.sum(axis=axis))
        found.append((float(edges[there[0]]), float(edges[there[-1] + 1])))
    half = max(high - low for low, high in found) / 2 * 1.03
    centres = [(low + high) / 2 for low, high in found]
    return centres[0] - half, centres[0] + half, centres[1] - half, centres[1] + half


def _norm(shares: Sequence[Float64]) -> LogNorm:
    """From the emptiest to the fullest cell of any panel, at most four decades."""
    largest = max((float(share.max()) for share in shares), default=0.0)
    smallest = min((float(share[share > 0].min()) for share in shares if share.any()), default=0.0)
    if largest <= 0:
        return LogNorm(1e-4, 1.0)
    return LogNorm(max(smallest, largest * 1e-4) * 0.999, largest * 1.001)
