"""What every picture must hold: each text inside the figure."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def drawn_texts(figure: Figure) -> list[Text]:
    """The texts that reach the renderer: hidden ones, and ticks beyond an axis's limits, do not."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer: Any = canvas.get_renderer()
    found: list[Text] = []
    draw_text = type(renderer).draw_text

    def recording(*arguments: Any, mtext: Text | None = None, **options: Any) -> None:
        if mtext is not None:
            found.append(mtext)
        draw_text(renderer, *arguments, mtext=mtext, **options)

    renderer.draw_text = recording
    try:
        figure.draw(renderer)
    finally:
        del renderer.draw_text
    assert found
    return found


def texts(figure: Figure) -> list[str]:
    """What the drawn texts say."""
    return [text.get_text() for text in drawn_texts(figure)]


def assert_nothing_is_cut(figure: Figure) -> None:
    """Every drawn text lies within the figure, to a pixel."""
    for text in drawn_texts(figure):
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, f"{text.get_text()!r} at {box} is outside {figure.bbox}"
