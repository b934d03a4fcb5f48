"""Texts measured before they are drawn, so that a figure can be made to fit them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def text_width(figure: Figure, texts: Sequence[str], points: float) -> float:
    """Inches of the widest of ``texts``, 0 for none; ``figure`` has an Agg canvas."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    widest = 0.0
    for text in set(texts):
        probe = Text(0, 0, text, fontsize=points, figure=figure)
        widest = max(widest, probe.get_window_extent(renderer).width)
    return widest / figure.dpi


def wrapped(figure: Figure, text: str, points: float, width: float) -> list[str]:
    """``text`` in lines of at most ``width`` inches."""
    inches = text_width(figure, [text], points)
    if inches <= width:
        return [text]
    # A tenth to spare: characters differ in width.
    return textwrap.wrap(text, max(10, int(len(text) * width / inches * 0.9)))
