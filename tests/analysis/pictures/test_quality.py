"""Pictures of quality: what is drawn, and that no text is cut, at any number of groups and with any names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

import analysis.pictures.quality as quality_pictures
from analysis.measures.layer_quality import layer_quality
from analysis.measures.summaries import members_of, summarise
from analysis.pictures.canvas import Caption
from analysis.pictures.quality import BoxRow, draw_boxes, draw_by_depth
from analysis.pictures.quality_by_size import draw_entropy_by_size, draw_untrained_by_size
from analysis.pictures.style import BLUE
from analysis.selection.grouping import group_layers
from analysis.selection.view import flat_view
from analysis.settings import Weight
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts
from tests.distributed.statistics import reference
from tests.stores import chain, tables

NAMES = ("Segmentation", r"$\alpha_{GAN}$ 100%", "手写数字 распознавание", "A very long name " + "of a model card " * 5)
CAPTION = Caption("Layer quality by task", ("3 groups · 11 models · 100 layers",))


def made_up(number: int) -> tuple[object, list[BoxRow]]:
    generator = np.random.default_rng(5)
    models = []
    for index in range(number):
        weights = {}
        for layer in range(1 + index % 8):
            mixing = np.diag(generator.uniform(0.1, 3, 9))
            filters = generator.normal(size=(8 * (1 + layer), 9)) @ mixing
            weights[f"conv{layer}"] = filters.reshape(8, -1, 3, 3)
        models.append(chain(f"m{index}", weights, {"task": NAMES[index] if index < len(NAMES) else f"task {index:03}"}))
    flat = flat_view(*tables(models))
    quality, grouping = layer_quality(flat), group_layers(flat, "task", max_groups=1000)
    summary = summarise(quality, grouping, Weight.layers).to_pylist()
    rows = [
        BoxRow(group.label, mine, {row["metric"]: row for row in summary if row["group"] == group.name})
        for group, mine in zip(grouping.groups, members_of(quality, grouping), strict=True)
    ]
    return quality, rows


@pytest.mark.parametrize("number", [1, 3, 12, 60])
def test_no_text_is_cut(number: int) -> None:
    quality, rows = made_up(number)
    assert_nothing_is_cut(draw_boxes(quality, rows, CAPTION))
    assert_nothing_is_cut(draw_entropy_by_size(quality, CAPTION))
    assert_nothing_is_cut(draw_untrained_by_size(quality, CAPTION))
    assert_nothing_is_cut(draw_by_depth(quality, CAPTION))


def test_boxes_are_the_quartiles_and_small_groups_their_layers() -> None:
    quality, rows = made_up(8)
    figure = draw_boxes(quality, rows, CAPTION)
    panel = figure.axes[0]
    values = np.array(quality.column("variance_entropy_normalized").to_pylist(), dtype=float)
    boxes = {round(box.get_y() + box.get_height() / 2): box for box in panel.patches}
    (rings,) = (line for line in panel.lines if line.get_marker() == "o")
    at = rings.get_ydata()
    large = [index for index, row in enumerate(rows) if len(row.members) >= 5]
    assert sorted(boxes) == large
    assert sorted(set(at)) == [index for index in range(8) if index not in large]
    for index in large:
        mine = np.sort(values[rows[index].members])
        expected = np.quantile(mine, [0.25, 0.75], method="inverted_cdf")
        box = boxes[index]
        assert [box.get_x(), box.get_x() + box.get_width()] == pytest.approx(expected.tolist())
    for index in set(at):
        assert sorted(rings.get_xdata()[at == index]) == sorted(values[rows[int(index)].members])
    shown = texts(figure)
    assert any(NAMES[1] in text for text in shown)
    assert "fewer than 5 layers: each drawn as a ring, no box" in shown


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_two_sides_have_two_colours_and_scales_plain_numbers(scale: float) -> None:
    quality, rows = made_up(12)
    norms = np.array(quality.column("norm_mean")) * np.where(np.arange(quality.num_rows) % 2, scale, 1.0)
    place = quality.column_names.index("norm_mean")
    quality = quality.set_column(place, "norm_mean", pa.array(norms))
    rows = [replace(row, colours=("#112233", "#ddeeff") if k % 2 else row.colours) for k, row in enumerate(rows)]
    figure = draw_boxes(quality, rows, CAPTION)
    colours = {round(box.get_y() + box.get_height() / 2): to_hex(box.get_edgecolor()) for box in figure.axes[0].patches}
    assert {colours[k] for k in colours if k % 2} == {"#112233"}
    assert {colours[k] for k in colours if not k % 2} == {BLUE.lower()}
    shown = texts(figure)
    assert not any("mathdefault" in text for text in shown)
    assert_nothing_is_cut(figure)
    assert len([tick for tick in figure.axes[3].get_xticklabels() if tick.get_text()]) >= 2


def test_the_random_threshold_is_drawn() -> None:
    quality, rows = made_up(12)
    axes = draw_entropy_by_size(quality, CAPTION).axes[0]
    curve = axes.lines[0]
    for x, y in zip(curve.get_xdata(), curve.get_ydata(), strict=True):
        assert y == pytest.approx(reference.threshold(round(2**x)), abs=1e-9)
    offsets = np.concatenate(
        [np.asarray(dots.get_offsets()) for dots in axes.collections if isinstance(dots, PathCollection)]
    )
    expected = np.stack([np.log2(quality.column("num_filters")), quality.column("variance_entropy")], axis=1)
    np.testing.assert_allclose(offsets[np.lexsort(offsets.T)], expected[np.lexsort(expected.T)])
    by_depth = draw_by_depth(quality, CAPTION).axes
    dashed = [line.get_ydata()[0] for line in by_depth[0].lines if line.get_linestyle() == "--"]
    assert dashed == [1.0]
    assert by_depth[3].get_yscale() == "log"
    boxes = draw_boxes(quality, rows, CAPTION).axes
    assert [line.get_xdata()[0] for line in boxes[0].lines if line.get_linestyle() == "--"] == [1.0]


def test_more_groups_than_can_be_drawn_are_not_left_out_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_pictures, "MOST_ROWS", 4)
    quality, rows = made_up(14)
    shown = texts(draw_boxes(quality, rows, CAPTION))
    assert "the 4 of 14 groups with the most layers are drawn; the tables have them all" in shown
