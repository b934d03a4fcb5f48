"""How much of a whole each of several factors explains, a block of bars a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import FAINT, INK, RULE
from analysis.wording import elide, one_line

#: Told apart by the colour-blind (Okabe & Ito 2008), in an order that begins with what is farthest apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
_TOGETHER = "#e8e8e8"
_BAR, _GAP, _LABEL_WIDTH, _WIDTH = 0.13, 0.14, 34, 5.2  # inches, but characters of a label


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
    labels = [elide(one_line(row.label), _LABEL_WIDTH) for row in rows]
    names = [elide(one_line(name), _LABEL_WIDTH) for name in (*factors, "all together")]
    remarks = [one_line(remark) for remark in caption.remarks]
    with names_as_data([*labels, *names, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        left = 0.3 + canvas.text_width([fonts.drawable(label) for label in labels], 9)
        tall = _BAR * len(factors)
        height = (tall + _GAP) * len(rows) + _GAP * sum(row.heading for row in rows)
        title, *remarks = (fonts.drawable(line) for line in (caption.title, *remarks))
        canvas.open(left + _WIDTH + 0.3, height + 0.95, title, remarks)
        axes = canvas.axes(left, canvas.top, _WIDTH, height)
        plain_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_xlabel("share of all squared distances (R²), %", fontsize=9, color=INK)
        top = 0.0
        for row, label in zip(rows, labels, strict=True):
            top += _GAP * row.heading
            middle = top + _GAP / 2 + tall / 2
            axes.barh(middle, 100 * row.together, tall + 0.06, color=_TOGETHER, zorder=1)
            for k, part in enumerate(row.parts):
                y = top + _GAP / 2 + _BAR * (k + 0.5)
                axes.barh(y, 100 * part, _BAR * 0.85, color=_COLOURS[k % len(_COLOURS)], zorder=2)
                if row.chance:
                    axes.plot(
                        [100 * row.chance[k]] * 2, [y - _BAR / 2, y + _BAR / 2], color=INK, linewidth=1.1, zorder=3
                    )
            canvas.write(
                left - 0.1, canvas.top + middle, fonts.drawable(label), 9, INK, ha="right", va="center_baseline"
            )
            top += tall + _GAP
        axes.set_ylim(height, 0)
        axes.set_xlim(min(0.0, *(100 * part for row in rows for part in row.parts)), 100)
        _legend(canvas, left, canvas.top + height + 0.5, [fonts.drawable(name) for name in names])
    return canvas.figure


def _legend(canvas: Canvas, left: float, top: float, names: Sequence[str]) -> None:
    """Colours in a line: of the factors, and of all together."""
    box = canvas.axes(left, top, _WIDTH, 0.3)
    box.axis("off")
    box.set_xlim(0, _WIDTH)
    box.set_ylim(0.3, 0)
    at = 0.0
    for k, name in enumerate(names):
        colour = _COLOURS[k % len(_COLOURS)] if k < len(names) - 1 else _TOGETHER
        box.barh(0.15, 0.16, 0.14, left=at, color=colour)
        box.text(at + 0.22, 0.15, name, fontsize=8.5, color=FAINT, va="center_baseline", clip_on=False)
        at += 0.22 + canvas.text_width([name], 8.5) + 0.22
