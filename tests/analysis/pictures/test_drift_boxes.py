"""Boxes of drifts and bars of kinds: what is drawn, and that no text is cut."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.pictures.canvas import Caption
from analysis.pictures.counts import Counts, draw_counts
from analysis.pictures.drift_boxes import draw_drift_boxes, drift_box
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts

CAPTION = Caption("Drift of each group", ("16 models",))


def boxes(number: int) -> list[dict[str, object]]:
    generator = np.random.default_rng(number)
    return [drift_box(f"group {i} $x$ <b>", generator.exponential(size=number + 1)) for i in range(number)]


@pytest.mark.parametrize("number", [1, 3, 200])
def test_no_text_is_cut(number: int) -> None:
    assert_nothing_is_cut(draw_drift_boxes(boxes(number), CAPTION, "drift D"))
    counts = [Counts("Task", [f"kind {i}" for i in range(number)], range(number, 0, -1), 7)]
    assert_nothing_is_cut(draw_counts(counts, CAPTION))


def test_a_box_is_its_quartiles() -> None:
    drifts = np.array([1.0, 2, 3, 4, 5, 100])
    figure = draw_drift_boxes([drift_box("far", drifts), drift_box("one", drifts[:1])], CAPTION, "drift D")
    far = figure.axes[0].patches[0].get_path().vertices[:, 0]
    assert (far.min(), far.max()) == tuple(np.quantile(drifts, [0.25, 0.75]))
    dots = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [list(each) for each in dots] == [[100.0], []]
    assert {"far", "one"} <= set(texts(figure))


def test_of_too_many_the_ends_are_drawn() -> None:
    figure = draw_drift_boxes(boxes(200), CAPTION, "drift D")
    assert len(figure.axes[0].patches) == 60
    shown = texts(figure)
    assert "the 30 farthest and nearest of 200 are drawn" in shown
    assert "group 0 $x$ <b>" in shown
    assert "group 199 $x$ <b>" in shown
    assert "group 100 $x$ <b>" not in shown


def test_what_is_no_kind_has_no_bar() -> None:
    figure = draw_counts([Counts("Task", [f"kind {i}" for i in range(20)], range(40, 20, -1), 7)], CAPTION)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [*range(40, 25, -1), 0, 0]
    assert {"5 others", "not known", "115", "7"} <= set(texts(figure))
