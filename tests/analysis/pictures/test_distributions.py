"""Pictures of distributions of coefficients, in one and in two dimensions: no text is cut."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.measures.drift import distributions
from analysis.measures.phenotypes import Phenotype
from analysis.pictures.canvas import Caption
from analysis.pictures.densities import DensityPanel, draw_densities
from analysis.pictures.ridges import draw_ridges
from tests.analysis.measures.test_phenotypes import counted
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts

LOW, HIGH = -2.5, 2.75


@pytest.mark.parametrize("number", [1, 3, 12, pytest.param(60, marks=pytest.mark.slow)])
def test_pictures_cut_nothing_at_any_size(number: int) -> None:
    generator = np.random.default_rng(number)
    labels = [f"{'group ' * (k % 9)}$x_{{{k}}}$ <i>{k}</i> ({k})" for k in range(number)]
    edges = np.linspace(LOW, HIGH, 71)
    counts = np.stack([[np.histogram(generator.normal(size=400), bins=edges)[0] for _ in range(9)] for _ in labels])
    densities = distributions(counts, np.full(9, 1 / 9), LOW, HIGH).probabilities / np.diff(edges)
    ridges = draw_ridges(labels, densities, edges, np.full(9, 1 / 9), Caption("Coefficients by task", ("remark",)))
    assert_nothing_is_cut(ridges)
    assert sum(text.startswith("component ") for text in texts(ridges)) == 9
    both = draw_ridges(labels, densities, edges, np.full(9, 1 / 9), Caption("Coefficients", ()), 3 * densities[:, ::-1])
    assert_nothing_is_cut(both)
    assert [len(axes.lines) for axes in both.axes] == [2 * len(axes.lines) - 1 for axes in ridges.axes]
    panels = [
        DensityPanel(label, counted(generator.normal(size=(50 * k + 1, 2))), 50 * k + 1, Phenotype.SYMBOLS)
        for k, label in enumerate(labels)
    ]
    figure = draw_densities(panels, np.linspace(LOW, HIGH, 97), (1, 2), Caption("Densities by task", ("remark",)))
    assert_nothing_is_cut(figure)
    assert sum("symbols" in text for text in texts(figure)) == number
    assert not any("mathdefault" in text for text in texts(figure))


def test_empty_density_is_drawn() -> None:
    panel = DensityPanel("nothing", np.zeros((48, 48), np.int64), 0, Phenotype.FEW)
    figure = draw_densities([panel], np.linspace(LOW, HIGH, 49), (1, 2), Caption("Densities", ()))
    assert "0 filters" in texts(figure)
