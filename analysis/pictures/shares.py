"""How a whole divides among factors, a bar a row: what each adds, what they share, what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import FAINT, INK, RULE
from analysis.wording import elide, one_line

#: Told apart by the colour-blind (Okabe & Ito 2008), in an order that begins with what is farthest apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
_HATCHED: Mapping[str, Any] = {"facecolor": "none", "edgecolor": "#8c8c8c", "hatch": "/////", "linewidth": 0.6}
_ROW, _LABEL_WIDTH = 0.3, 34


@dataclass(frozen=True, slots=True)
class Shares:
    """One row.

    Attributes:
        label: of the row.
        parts: share of each factor, in the order of the legend.
        chance: what each share would be by chance; (): not known.
        shared: what they explain together besides; below 0 it overlaps.
        heading: whether the row begins a block.
    """

    label: str
    parts: Sequence[float]
    chance: Sequence[float]
    shared: float
    heading: bool = False


def draw_shares(rows: Sequence[Shares], factors: Sequence[str], caption: Caption) -> Figure:
    """A row of stacked bars for each of ``rows``, 0 … 100 % from left to right, and the legend below.

    A tick in a bar marks how long it would be by chance.
    """
    labels = [elide(one_line(row.label), _LABEL_WIDTH) for row in rows]
    names = [elide(one_line(name), _LABEL_WIDTH) for name in factors]
    remarks = [one_line(remark) for remark in caption.remarks]
    with names_as_data([*labels, *names, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        left = 0.3 + canvas.text_width([fonts.drawable(label) for label in labels], 9)
        gaps = [0.14 * sum(row.heading for row in rows[1 : index + 1]) for index in range(len(rows))]
        height = _ROW * len(rows) + gaps[-1] + 0.1
        canvas.open(left + 5.5, height + 1.0, fonts.drawable(caption.title), [fonts.drawable(line) for line in remarks])
        axes = canvas.axes(left, canvas.top, 5.2, height)
        plain_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_xlabel("share of all squared distances (R²), %", fontsize=9, color=INK)
        lowest = 0.0
        for index, (row, label, gap) in enumerate(zip(rows, labels, gaps, strict=True)):
            at, y = 0.0, _ROW * (index + 0.5) + gap + 0.05
            for k, part in enumerate(row.parts):
                axes.barh(y, 100 * part, 0.2, left=at, color=_COLOURS[k % len(_COLOURS)], zorder=2)
                if row.chance:
                    tick = at + 100 * row.chance[k]
                    axes.plot([tick, tick], [y - 0.12, y + 0.12], color=INK, linewidth=1.1, zorder=4)
                at += 100 * part
                lowest = min(lowest, at)
            axes.barh(y, 100 * row.shared, 0.2, left=at, zorder=3, **_HATCHED)
            canvas.write(left - 0.1, canvas.top + y, fonts.drawable(label), 9, INK, ha="right", va="center_baseline")
        axes.set_ylim(height, 0)
        axes.set_xlim(min(0.0, lowest), 100)
        _legend(canvas, left, canvas.top + height + 0.55, [fonts.drawable(name) for name in names])
    return canvas.figure


def _legend(canvas: Canvas, left: float, top: float, names: Sequence[str]) -> None:
    """Colours of the factors in a line, and of what they share."""
    box = canvas.axes(left, top, 5.2, 0.3)
    box.axis("off")
    box.set_xlim(0, 5.2)
    box.set_ylim(0.3, 0)
    at = 0.0
    for k, name in enumerate([*names, "shared"]):
        style: Mapping[str, Any] = {"color": _COLOURS[k % len(_COLOURS)]} if k < len(names) else _HATCHED
        box.barh(0.15, 0.16, 0.14, left=at, **style)
        box.text(at + 0.22, 0.15, name, fontsize=8.5, color=FAINT, va="center_baseline")
        at += 0.22 + canvas.text_width([name], 8.5) + 0.22
