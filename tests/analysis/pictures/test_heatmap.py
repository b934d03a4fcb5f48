"""The picture itself: nothing cut, nothing overlapping, whatever the names and however many groups."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analysis.pictures.heatmap import Heatmap, draw_heatmap

HOSTILE = [
    "$\\frac{1}{0$ (1)",
    "$x^2$ (2)",
    "two\nlines\tand a tab (3)",
    "very long " * 30 + "(4)",
    "日本語データ (5)",
    "Ελληνικά и русский (6)",
    "\x1b[31mred\u202e (7)",
    "<b>&amp;</b> (8)",
    "{x} %s \\n (9)",
    "",
]


def matrix(number: int, largest: float = 0.7) -> np.ndarray:
    points = np.random.default_rng(number).normal(size=(number, 3))
    drift = ((points[:, None] - points[None]) ** 2).sum(-1)
    return drift / max(drift.max(), 1e-300) * largest


def heatmap(labels: list[str], values: np.ndarray | None = None, remarks: tuple[str, ...] = ("a remark",)) -> Heatmap:
    values = matrix(len(labels)) if values is None else values
    return Heatmap(labels, values, "Drift by task", remarks, "drift D (symmetric KL, EVR-weighted)")


def text_boxes(figure: Figure) -> list[tuple[str, np.ndarray]]:
    """(text, [x0, y0, x1, y1] in pixels) of everything written, after drawing."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.findobj(lambda o: hasattr(o, "get_text")))]
    renderer = canvas.get_renderer()
    return [
        (text.get_text(), text.get_window_extent(renderer).extents)
        for text in texts
        if text.get_text() and text.get_visible()
    ]


@pytest.mark.parametrize("number", [1, 3, 12, 31, 60, 200])
def test_every_text_lies_inside_the_picture(number: int) -> None:
    figure = draw_heatmap(heatmap([f"group number {i} ({i % 7})" for i in range(number)]))
    width, height = figure.canvas.get_width_height()
    boxes = text_boxes(figure)
    assert len(boxes) >= 2 * number
    for text, (x0, y0, x1, y1) in boxes:
        assert min(x0, y0) >= 0, text
        assert max(x1 - width, y1 - height) <= 1, text


@pytest.mark.parametrize("number", [3, 30, 60])
def test_row_labels_do_not_touch_each_other_or_the_cells(number: int) -> None:
    labels = [f"group number {i} ({i % 7})" for i in range(number)]
    figure = draw_heatmap(heatmap(labels))
    left = figure.axes[0].get_window_extent().x0
    rows = [box for text, box in text_boxes(figure) if text in labels and box[2] <= left]
    assert len(rows) == number
    rows.sort(key=lambda box: box[1])
    for below, above in itertools.pairwise(rows):
        assert below[3] <= above[1] + 1.5  # pixels; boxes reserve room for descenders


def test_hostile_names_are_drawn_as_text(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        figure = draw_heatmap(heatmap(HOSTILE, remarks=("where name = '$x_{$' \n or 漢 = 1", "x" * 2000)))
        width, height = figure.canvas.get_width_height()
        boxes = text_boxes(figure)
        figure.savefig(tmp_path / "map.png", dpi=80)
    texts = [text for text, _ in boxes]
    assert "$x^2$ (2)" in texts
    assert "two lines and a tab (3)" in texts
    assert "\\x1b[31mred\\u202e (7)" in texts
    assert "(empty)" in texts
    for text, (x0, y0, x1, y1) in boxes:
        assert min(x0, y0) >= 0, text
        assert max(x1 - width, y1 - height) <= 1, text
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_values_are_written_while_they_fit() -> None:
    few = [text for text, _ in text_boxes(draw_heatmap(heatmap([f"g{i}" for i in range(5)])))]
    assert few.count("0") >= 5  # the diagonal
    assert "0.700" in few
    many = [text for text, _ in text_boxes(draw_heatmap(heatmap([f"g{i}" for i in range(40)])))]
    assert "0.700" not in many


def test_a_thousand_groups_label_some_and_say_so() -> None:
    labels = [f"model {i}" for i in range(1000)]
    figure = draw_heatmap(heatmap(labels))
    texts = [text for text, _ in text_boxes(figure)]
    shown = len({text for text in texts if text in set(labels)})
    assert 300 < shown < 1000
    assert any(text.startswith("one group in") for text in texts)
    assert max(figure.get_size_inches()) < 60


def test_all_equal_groups_and_one_group_have_a_picture() -> None:
    for number in (1, 4):
        figure = draw_heatmap(heatmap([f"g{i}" for i in range(number)], np.zeros((number, number))))
        assert figure.axes[0].images[0].get_clim() == (0.0, 1.0)


def test_colours_are_the_drifts() -> None:
    values = matrix(6)
    image = draw_heatmap(heatmap([f"g{i}" for i in range(6)], values)).axes[0].images[0]
    np.testing.assert_array_equal(np.asarray(image.get_array()), values)
    assert image.get_clim() == (0.0, values.max())


def test_marks_stand_in_the_corner_of_their_cells_and_not_in_a_crowd() -> None:
    for number, expected in ((4, 2), (61, 0)):
        dots, rings = np.zeros((2, number, number), bool)
        dots[0, 3] = rings[3, 1] = True
        plain = heatmap([f"g{i}" for i in range(number)])
        figure = draw_heatmap(replace(plain, dots=dots, rings=rings))
        assert not [c for c in draw_heatmap(plain).axes[0].collections if isinstance(c, PathCollection)]
        circles = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
        assert len(circles) == 2 * expected  # each on a light one
        for circle, (row, column) in zip(circles[1::2], ((0, 3), (3, 1)), strict=False):
            x, y = circle.get_offsets()[0]
            assert (round(x), round(y)) == (column, row)
            assert x > column + 0.3 and y < row - 0.3  # noqa: PT018
            assert len(circle.get_facecolor()) == int(row == 0)
