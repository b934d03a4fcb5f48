"""Bars of drift between two sides: what is drawn, and that no text is cut."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.pictures.canvas import Caption
from analysis.pictures.paired_bars import DriftBar, draw_drift_bars
from tests.analysis.pictures.checks import assert_nothing_is_cut, drawn_texts, texts

CAPTION = Caption("Drift by depth: $a$ against <b>", ("10 pairs in 10 clusters", "in brackets: pairs"))


@pytest.mark.parametrize("number", [1, 12, 60])
def test_no_text_is_cut(number: int) -> None:
    generator = np.random.default_rng(number)
    bars = [
        DriftBar(
            f"{'wide ' * (k % 9)}$x_{{{k}}}$ ({k})", generator.exponential(), generator.exponential(size=k), 1.0, True
        )
        for k in range(number)
    ]
    assert_nothing_is_cut(draw_drift_bars(bars, CAPTION, "drift D (kl)"))


def test_bars_lines_and_dots_are_where_they_belong() -> None:
    nan = np.nan
    bars = [
        DriftBar("first layer (2)", 0.5, np.array([0.7, 0.9]), 0.2, True),
        DriftBar("(0.0, 0.1] (0)", nan, np.array([nan, nan]), nan, False),
        DriftBar("(0.1, 0.2] (1)", 0.1, np.array([nan, 0.3]), 0.4, False),
    ]
    figure = draw_drift_bars(bars, CAPTION, "drift D (kl)")
    pooled, alone = figure.axes
    assert [(bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in pooled.patches] == [(0.5, 0.0), (0.1, 2.0)]
    assert [lines.get_segments()[0][0, 0] for lines in pooled.collections] == [0.2, 0.4]
    (dots,) = alone.lines
    assert np.column_stack([dots.get_xdata(), dots.get_ydata()])[[0, 1, 5]].tolist() == [[0.7, 0], [0.9, 0], [0.3, 2]]
    weights = {text.get_text(): text.get_fontweight() for text in drawn_texts(figure)}
    assert (weights["first layer (2)"], weights["(0.1, 0.2] (1)"]) == ("bold", "normal")
    assert {"both sides, pooled", "pair by pair"} <= set(texts(figure))
