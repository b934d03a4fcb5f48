"""Shares of factors: bars as long as they should be, and no text cut."""

from __future__ import annotations

import pytest

from analysis.pictures.canvas import Caption
from analysis.pictures.shares import Shares, draw_shares
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts

CAPTION = Caption("Which factor explains the distances", ("16 models",))


@pytest.mark.parametrize(("rows", "factors"), [(1, 1), (20, 3), (90, 6)])
def test_no_text_is_cut(rows: int, factors: int) -> None:
    names = [f"a factor called {k} $x$ by somebody" for k in range(factors)]
    parts = [0.5 / factors] * factors
    shares = [Shares(f"component {i} {'of ' * i}", parts, parts, 0.7, i % 5 == 0) for i in range(rows)]
    figure = draw_shares(shares, names, CAPTION)
    assert_nothing_is_cut(figure)
    assert {*names, "all together"} <= set(texts(figure))
    assert ("the first 60 of 90 parts are drawn; the table has them all" in texts(figure)) == (rows == 90)


def test_bars_are_the_shares_and_strokes_those_of_chance() -> None:
    rows = [Shares("all", [0.4, -0.05], [0.1, 0.2], 0.5, True), Shares("component 1", [0.3, 0.2], (), 0.6)]
    axes = draw_shares(rows, ["task", "net"], CAPTION).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([50, 60, 40, 30, -5, 20])
    strokes = [stroke.get_segments() for stroke in axes.collections]
    assert [each[0][0, 0] for each in strokes] == pytest.approx([10, 20])
    assert axes.get_xlim() == (-5.0, 100.0)
