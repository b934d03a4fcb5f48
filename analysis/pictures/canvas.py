"""A figure laid out in inches: parts are sized by their measured texts, so that no name is cut or overlaps another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.pictures.fonts import Fonts, fonts_for
from analysis.pictures.style import FAINT, INK
from analysis.pictures.texts import text_width, wrapped

GAP = 0.12  # inches between parts
TITLE_ID, REMARK_ID = "title", "remark"  # begin the ``gid`` of the header's texts
_TITLE, _REMARK = 13.0, 8.5  # points
_TITLE_LINE, _REMARK_LINE = 0.24, 0.17  # inches


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands above a picture: a title and remarks of a line each."""

    title: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure to be drawn, in ``default_style``, when it is wanted: the ``stem`` of its files, its ``title``, how."""

    stem: str
    title: str
    draw: Callable[[], Figure]


@contextmanager
def names_as_data(texts: Sequence[str]) -> Iterator[Fonts]:
    """Within it, matplotlib draws texts of any script as they are: no TeX, no mathematics between dollar signs."""
    fonts = fonts_for(texts)
    with matplotlib.rc_context({"font.family": list(fonts.families), "text.usetex": False, "text.parse_math": False}):
        yield fonts


@dataclass(slots=True)
class Canvas:
    """A figure whose size is set once its content is known; positions are inches from its top left corner.

    ``top`` is where the body begins: below the header, whose texts are ``scale`` times as large as usual.
    """

    figure: Figure
    width: float = 0.0
    height: float = 0.0
    top: float = 0.0
    scale: float = 1.0

    @classmethod
    def blank(cls) -> Canvas:
        """A figure of no size yet, on which texts can be measured."""
        figure = Figure(facecolor="white")
        FigureCanvasAgg(figure)
        return cls(figure)

    def title_width(self, title: str) -> float:
        """Inches of the title on one line."""
        return self.text_width([title], _TITLE * self.scale)

    def text_width(self, texts: Sequence[str], points: float) -> float:
        """Inches of the widest of ``texts``, 0 for none."""
        return text_width(self.figure, texts, points)

    def open(self, width: float, body: float, title: str, remarks: Sequence[str]) -> None:
        """Set the size: ``width`` by the header and ``body`` inches; and write the header, wrapped to the width."""
        inner, scale = width - 2 * GAP, self.scale
        titles = self._wrapped(title, _TITLE * scale, inner)
        lines = [
            (f"{REMARK_ID}_{i}", line)
            for i, text in enumerate(remarks)
            for line in self._wrapped(text, _REMARK * scale, inner)
        ]
        self.top = GAP + scale * (_TITLE_LINE * len(titles) + _REMARK_LINE * len(lines) + 0.18)
        self.width, self.height = width, self.top + body
        self.figure.set_size_inches(self.width, self.height)
        at = GAP
        for line in titles:
            self.write(GAP, at, line, _TITLE * scale, INK, va="top", fontweight="bold", gid=TITLE_ID)
            at += _TITLE_LINE * scale
        for name, line in lines:
            self.write(GAP, at, line, _REMARK * scale, FAINT, va="top", gid=name)
            at += _REMARK_LINE * scale

    def write(self, x: float, y: float, text: str, points: float, colour: str, **style: str) -> None:
        """A text at ``x``, ``y``."""
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=points, color=colour, **style)  # type: ignore[arg-type]

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose top left corner is at ``x``, ``y``."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def _wrapped(self, text: str, points: float, width: float) -> list[str]:
        return wrapped(self.figure, text, points, width)


def plain_axes(axes: Axes) -> None:
    """A quiet frame: left and bottom lines only, small ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=INK, color=FAINT, length=3)
    axes.set_axisbelow(True)
