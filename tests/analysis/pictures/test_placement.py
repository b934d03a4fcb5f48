"""Where a model sits, drawn: nothing is cut, whatever the names."""

from __future__ import annotations

from analysis.pictures.canvas import Caption
from analysis.pictures.placement import DriftBlock, DriftRow, draw_drift_to_groups
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts


def test_pictures_cut_nothing_whatever_the_names() -> None:
    rows = [DriftRow(f"{'long name ' * 9}$x_{i}$ <b>", 0.1 * i, 0.05 * i, 0.2 * i, 0.1, i < 3) for i in range(60)]
    rows[4] = DriftRow("nothing there", float("nan"), float("nan"), float("nan"), float("nan"), True)
    blocks = [DriftBlock("task", rows, "models"), DriftBlock("depth: like layers with like", rows[:5], "layers")]
    figure = draw_drift_to_groups(
        blocks, Caption(f"Drift of {'m' * 40} to groups of the store", ("a remark " * 40,)), "drift D", 0.95
    )
    assert_nothing_is_cut(figure)
    assert "no layer of the model there" in texts(figure)
    assert any("40 nearest of 60" in text for text in texts(figure))
