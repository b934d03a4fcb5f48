"""The looks of densities: made-up ones of each kind, sampling alone, nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.measures.phenotypes import Phenotype, phenotype_of

LOW, HIGH = -2.5, 2.75


def counted(points: np.ndarray) -> np.ndarray:
    return np.histogram2d(points[:, 0], points[:, 1], bins=96, range=[[LOW, HIGH]] * 2)[0].astype(np.int64)


def look(points: np.ndarray) -> Phenotype:
    return phenotype_of(counted(points), LOW, HIGH, (0.02, -0.01)).phenotype


@pytest.mark.parametrize("number", [300, 3000, 100_000])
def test_looks_of_made_up_layers(number: int) -> None:
    generator = np.random.default_rng(number)
    gaussian = generator.normal(size=(number, 2)) @ np.array([[0.7, 0.0], [0.3, 0.45]])
    assert look(gaussian) is Phenotype.SUN
    assert look(gaussian + 0.4) is Phenotype.SUN
    zeros = generator.random(number) < 0.45
    assert look(np.where(zeros[:, None], [0.02, -0.01], gaussian)) is Phenotype.POINT
    hot = generator.random(number) < 0.3
    spots = np.array([[0.9, 0.8], [-1.1, 0.5], [0.3, -1.2]])[generator.integers(0, 3, number)]
    assert look(np.where(hot[:, None], spots + generator.normal(size=(number, 2)) * 0.03, gaussian)) is Phenotype.SPIKES
    side = np.sign(generator.random(number) - 0.5)[:, None] * [1.4, 0.0]
    assert look(side + generator.normal(size=(number, 2)) * [0.3, 0.5]) is Phenotype.SYMBOLS
    assert look(gaussian[:200]) is Phenotype.FEW


def test_sampling_alone_gives_no_score() -> None:
    generator = np.random.default_rng(0)
    for number in (300, 3000, 100_000):
        score = phenotype_of(counted(generator.normal(size=(number, 2)) * 0.6), LOW, HIGH, (0, 0))
        assert score.shape < 0.02
        assert score.hot_spots < 0.02
        assert abs(score.centre) < 0.02
        assert score.bimodality == pytest.approx(1 / 3, abs=0.06)


def test_look_of_nothing_and_of_one_spot() -> None:
    nothing = phenotype_of(np.zeros((48, 48), np.int64), LOW, HIGH, (0, 0))
    assert nothing.phenotype is Phenotype.FEW
    assert np.isnan(nothing.shape)
    spot = np.zeros((48, 48), np.int64)
    spot[22, 22] = 1000
    centre = LOW + (HIGH - LOW) * 22.5 / 48
    assert phenotype_of(spot, LOW, HIGH, (centre, centre)).filters == 1000
    with pytest.raises(ValueError, match="multiple"):
        phenotype_of(np.zeros((50, 50), np.int64), LOW, HIGH, (0, 0))
