"""How much of a whole each of several factors explains, a block of bars a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import FAINT, INK, RULE
from analysis.wording import elide, one_line

#: Told apart by the colour-blind (Okabe & Ito 2008), in an order that begins with what is farthest apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
_TOGETHER = "#e8e8e8"
_BAR, _GAP, _LABEL_WIDTH, _WIDTH = 0.13, 0.14, 34, 5.2  # inches, but characters of a label
_LINE = 0.24  # inches of the legend

#: More rows than this would make the picture taller than anything shows.
_MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class Shares:
    """One row.

    Attributes:
        label: of the row.
        parts: (K,) share of each factor, in the order of the legend; may be below 0.
        chance: (K,) what each share would be by chance; (): not known.
        together: share of all factors.
        heading: whether the row begins a block.
    """

    label: str
    parts: Sequence[float]
    chance: Sequence[float]
    together: float
    heading: bool = False


def draw_shares(rows: Sequence[Shares], factors: Sequence[str], caption: Caption) -> Figure:
    """For each of ``rows`` a bar a factor before that of all together, 0 … 100 %, and the legend below.

    A stroke marks how long a bar would be by chance.
    """
    remarks = [one_line(remark) for remark in caption.remarks]
    if len(rows) > _MOST_ROWS:
        remarks.append(f"the first {_MOST_ROWS} of {len(rows)} parts are drawn; the table has them all")
        rows = rows[:_MOST_ROWS]
    labels = [elide(one_line(row.label), _LABEL_WIDTH) for row in rows]
    names = [elide(one_line(name), _LABEL_WIDTH) for name in (*factors, "all together")]
    with names_as_data([*labels, *names, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        left = 0.3 + canvas.text_width([fonts.drawable(label) for label in labels], 9)
        tall = _BAR * len(factors)
        height = (tall + _GAP) * len(rows) + _GAP * sum(row.heading for row in rows)
        title, *remarks = (fonts.drawable(line) for line in (caption.title, *remarks))
        legend = _lines(canvas, [fonts.drawable(name) for name in names])
        canvas.open(left + _WIDTH + 0.3, height + 0.65 + _LINE * len(legend), title, remarks)
        axes = canvas.axes(left, canvas.top, _WIDTH, height)
        plain_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_xlabel("share of all squared distances (R²), %", fontsize=9, color=INK)
        blocks = np.cumsum([row.heading for row in rows])
        tops = (tall + _GAP) * np.arange(len(rows)) + _GAP * (blocks + 0.5)
        axes.barh(tops + tall / 2, [100 * row.together for row in rows], tall + 0.06, color=_TOGETHER, zorder=1)
        for k in range(len(factors)):
            y, colour = tops + _BAR * (k + 0.5), _COLOURS[k % len(_COLOURS)]
            axes.barh(y, [100 * row.parts[k] for row in rows], 0.85 * _BAR, color=colour, zorder=2)
            chance = [100 * row.chance[k] if row.chance else np.nan for row in rows]
            axes.vlines(chance, y - _BAR / 2, y + _BAR / 2, color=INK, linewidth=1.1, zorder=3)
        for label, top in zip(labels, tops.tolist(), strict=True):
            at, text = canvas.top + top + tall / 2, fonts.drawable(label)
            canvas.write(left - 0.1, at, text, 9, INK, ha="right", va="center_baseline")
        axes.set_ylim(height, 0)
        axes.set_xlim(min(0.0, *(100 * part for row in rows for part in row.parts)), 100)
        _legend(canvas, left, canvas.top + height + 0.5, legend)
    return canvas.figure


def _legend(canvas: Canvas, left: float, top: float, lines: Sequence[Sequence[tuple[str, str, float]]]) -> None:
    """Colours with their names: of the factors, and of all together."""
    for number, line in enumerate(lines):
        box = canvas.axes(left, top + _LINE * number, _WIDTH, _LINE)
        box.axis("off")
        box.set_xlim(0, _WIDTH)
        box.set_ylim(_LINE, 0)
        for colour, name, at in line:
            box.barh(_LINE / 2, 0.16, 0.14, left=at, color=colour)
            box.text(at + 0.22, _LINE / 2, name, fontsize=8.5, color=FAINT, va="center_baseline")


def _lines(canvas: Canvas, names: Sequence[str]) -> list[list[tuple[str, str, float]]]:
    """Colour, name and place of each entry of the legend, in lines that fit."""
    lines, at = [list[tuple[str, str, float]]()], 0.0
    for k, name in enumerate(names):
        width = 0.44 + canvas.text_width([name], 8.5)
        if lines[-1] and at + width > _WIDTH:
            lines.append([])
            at = 0.0
        lines[-1].append((_COLOURS[k % len(_COLOURS)] if k < len(names) - 1 else _TOGETHER, name, at))
        at += width
    return lines
