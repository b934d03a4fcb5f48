"""Pictures of structure: what is drawn, and that no text is cut, at any number of groups and with any names."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

import analysis.pictures.eigenfilters as structure_pictures
from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.measures.eigenfilters import Structure
from analysis.pictures.canvas import Caption
from analysis.pictures.eigenfilters import draw_cumulative, draw_eigenfilters
from analysis.pictures.symmetry import draw_symmetry
from analysis.selection.grouping import Group
from distributed.errors import UserError
from tests import reference
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts

NAMES = (
    "Segmentation",
    r"$\alpha_{GAN}$ 100%",
    "手写数字 распознавание",
    "A very long name " + "of a model card " * 5,
    "<b>bold</b>",
)
CAPTION = Caption("Eigenfilters by task", ("3 groups · 11 models · 1 000 filters",))


def made_up(name: str, filters: int, seed: int = 0) -> Structure:
    generator = np.random.default_rng(seed)
    scaled = reference.scale(generator.normal(size=(filters, 9)) @ generator.normal(size=(9, 9)))
    centred = scaled - scaled.mean(axis=0)
    moments = Moments(filters, scaled.mean(axis=0), centred.T @ centred)
    try:
        principal = PrincipalAxes.from_moments(moments)
    except UserError:
        principal = None
    return Structure(Group(name, f"{name} (2)", filters, 3, 2), moments, principal)


def groups(number: int) -> list[Structure]:
    return [made_up(NAMES[i] if i < len(NAMES) else f"group {i}", 50 + i, i) for i in range(number)]


@pytest.mark.parametrize("number", [1, 3, 12, 60])
def test_no_text_is_cut(number: int) -> None:
    whole = made_up("all filters of the store", 5000)
    assert_nothing_is_cut(draw_eigenfilters([whole, *groups(number)], CAPTION))
    assert_nothing_is_cut(draw_cumulative(whole, groups(number), CAPTION))
    assert_nothing_is_cut(draw_symmetry([whole, *groups(number)], CAPTION))


def test_symmetry_is_drawn_as_measured() -> None:
    zero = Structure(Group("nothing", "nothing (1)", 5, 1, 1), Moments(5, np.zeros(9), np.zeros((9, 9))), None)
    rows = [*groups(2), zero]
    figure = draw_symmetry(rows, CAPTION)
    (mesh,) = (mesh for mesh in figure.findobj(QuadMesh) if mesh.get_array().shape == (12, 3))
    cells = np.ma.filled(mesh.get_array(), np.nan).reshape(3, 4, 3)[:, :3]
    np.testing.assert_allclose(cells[:2], np.log2([9 * row.symmetry.dct for row in rows[:2]]))
    assert np.isnan(cells[2]).all()
    shown = texts(figure)
    assert f"{rows[0].symmetry.odd['antisymmetric']:.1%}" in shown
    assert shown.count("–") == 4
    widths = [bar.get_width() for axes in figure.axes[1:5] for bar in axes.patches]
    np.testing.assert_allclose(widths[:2], [row.symmetry.odd["odd_rotation"] for row in rows[:2]])


def drawn_tiles(figure: Figure) -> tuple[np.ndarray, Normalize]:
    """(rows, 9, 3, 3) entries of the tiles, NaN where none is drawn, and their scale of colours."""
    mesh = next(mesh for mesh in figure.findobj(QuadMesh) if mesh.get_array().shape[1] == 36)
    cells = np.ma.filled(mesh.get_array(), np.nan).reshape(-1, 4, 9, 4)
    assert np.isnan(cells[:, 3]).all()  # what is between the tiles
    assert np.isnan(cells[..., 3]).all()
    return cells[:, :3, :, :3].transpose(0, 2, 1, 3), mesh.norm


def test_each_tile_is_its_component_with_its_share() -> None:
    rows = groups(3)
    figure = draw_eigenfilters(rows, CAPTION)
    tiles, norm = drawn_tiles(figure)
    for row, structure in enumerate(rows):
        assert structure.principal is not None
        np.testing.assert_array_equal(tiles[row], structure.principal.components.reshape(9, 3, 3))
    assert norm.vmin == -norm.vmax
    shown = texts(figure)
    assert r"$\alpha_{GAN}$ 100% (2)" in shown  # as it is: no mathematics
    assert "<b>bold</b> (2)" not in shown  # only three groups
    for share in rows[0].ratio:
        assert any(text.lstrip("~") == f"{share:.1%}" for text in shown)


def test_few_filters_are_flagged() -> None:
    rows = [made_up("plenty", 500), made_up("six", 6), made_up("lonely", 1)]
    figure = draw_eigenfilters(rows, CAPTION)
    shown = texts(figure)
    tiles, _ = drawn_tiles(figure)
    assert np.isfinite(tiles).all(axis=(2, 3)).sum(axis=1).tolist() == [9, 5, 0]
    assert "too few filters for nine components" in shown
    assert "one filter: no components" in shown
    assert "crossed out: no variance in this direction" in shown
    curves = draw_cumulative(rows[0], rows, CAPTION)
    styles = {line.get_linestyle() for line in curves.axes[0].lines}
    assert styles == {"-", ":"}
    assert "left out, without variance: 1 group" in texts(curves)


def test_curves_are_the_cumulative_variances() -> None:
    whole, rows = made_up("all", 5000), groups(12)
    figure = draw_cumulative(whole, rows, CAPTION)
    lines = figure.axes[0].lines
    assert len(lines) == 13
    drawn = sorted(tuple(line.get_ydata()) for line in lines)
    assert drawn == sorted(tuple(s.cumulative) for s in [whole, *rows])
    low, high = figure.axes[0].get_ylim()
    assert 0 <= low < min(s.cumulative[0] for s in [whole, *rows])
    assert high > 1
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(legend) == 13
    means = [
        next(s for s in rows if s.group.label == label).cumulative[:-1].mean()
        for label in legend[6:]
        if "group" in label
    ]
    assert means == sorted(means, reverse=True)


def test_more_groups_than_can_be_drawn_are_not_left_out_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_pictures, "MOST_ROWS", 4)
    monkeypatch.setattr(structure_pictures, "_LEGEND_ROWS", 4)
    rows = groups(14)
    shown = texts(draw_eigenfilters(rows, CAPTION))
    assert "the 4 of 14 rows with the most filters are drawn; the tables have them all" in shown
    assert [f"group {i} (2)" in shown for i in range(5, 14)] == [False] * 5 + [True] * 4
    curves = draw_cumulative(rows[0], rows, CAPTION)
    assert len(curves.axes[0].lines) == 15
    assert "the legend names the 1 highest and lowest of 14 curves" in texts(curves)
