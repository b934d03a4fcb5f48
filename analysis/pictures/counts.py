"""How many of what there are, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data
from analysis.pictures.style import BLUE, FAINT, INK
from analysis.wording import elide

_LABEL_WIDTH = 34

#: More kinds than this are one line, "others".
_MOST_BARS = 15


@dataclass(frozen=True, slots=True)
class Counts:
    """Kinds by falling number.

    Attributes:
        title: what the kinds are kinds of.
        names: (K,) of the kinds, on one line.
        numbers: (K,) how many of each.
        unknown: of how many the kind is not known.
    """

    title: str
    names: Sequence[str]
    numbers: Sequence[int]
    unknown: int


@dataclass(frozen=True, slots=True)
class _Bar:
    """``length`` is 0 for what is no kind by itself: others together, unknown."""

    name: str
    number: int
    length: int


def draw_counts(counts: Sequence[Counts], caption: Caption) -> Figure:
    """A block of bars for each of ``counts``, one below the other."""
    blocks = [(part.title, _bars(part)) for part in counts]
    texts = [bar.name for _, bars in blocks for bar in bars]
    with names_as_data([*texts, *caption.remarks]) as fonts:
        canvas = Canvas.blank()
        left = 0.3 + max(canvas.text_width([fonts.drawable(text) for text in texts], 9), 0.5)
        heights = [0.26 * len(bars) for _, bars in blocks]
        canvas.open(left + 4.2, sum(heights) + 0.5 * len(blocks) + 0.1, caption.title, caption.remarks)
        top = canvas.top
        for (title, bars), height in zip(blocks, heights, strict=True):
            canvas.write(GAP, top, title, 9.5, INK, va="top", fontweight="bold")
            axes = canvas.axes(left, top + 0.24, 3.6, height)
            axes.barh(range(len(bars)), [bar.length for bar in bars], 0.62, color=BLUE)
            axes.axis("off")
            axes.set_ylim(len(bars) - 0.5, -0.5)
            axes.set_xlim(0, max(1, *(bar.length for bar in bars)) * 1.02)
            for index, bar in enumerate(bars):
                axes.annotate(
                    f"{bar.number:,}",
                    (bar.length, index),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center_baseline",
                    fontsize=8.5,
                    color=FAINT,
                )
                y = top + 0.24 + height * (index + 0.5) / len(bars)
                canvas.write(left - 0.08, y, fonts.drawable(bar.name), 9, INK, ha="right", va="center_baseline")
            top += height + 0.5
    return canvas.figure


def _bars(part: Counts) -> list[_Bar]:
    bars = [
        _Bar(elide(name, _LABEL_WIDTH), number, number) for name, number in zip(part.names, part.numbers, strict=True)
    ]
    most = len(bars) if len(bars) <= _MOST_BARS + 1 else _MOST_BARS
    others = sum(bar.number for bar in bars[most:])
    vague = [(f"{len(bars) - most} others", others), ("not known", part.unknown)]
    return bars[:most] + [_Bar(name, number, 0) for name, number in vague if number]
