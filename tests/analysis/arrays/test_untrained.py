"""The sample of untrained filters: the same bits each time, one distribution whatever the scale of the weights."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.arrays.preparation import Preparation
from analysis.arrays.sketch import Sketch
from analysis.arrays.untrained import (
    UNTRAINED_FILTERS,
    untrained_filters,
    untrained_layer_id,
    untrained_moments,
    untrained_sketch,
    with_untrained,
)
from analysis.settings import Baseline, Rounding
from distributed.records import MODEL_BITS_SHIFT
from tests import reference
from tests.stores import random_filters


@pytest.fixture(scope="module")
def sketch() -> Sketch:
    """Of no layer, on the basis of trained filters."""
    scaled = reference.scale(random_filters(np.random.default_rng(0), 5000))
    centred = scaled - scaled.mean(axis=0)
    basis = PrincipalAxes.from_moments(Moments(5000, scaled.mean(axis=0), centred.T @ centred)).with_range(-2.5, 2.5)
    sides = np.zeros((0, 9), np.int64)
    return Sketch(np.zeros(0, np.int64), np.zeros((0, 9, 70), np.int64), sides, sides, basis)


@pytest.mark.parametrize("kind", list(Baseline))
def test_histograms_are_those_of_weights_of_any_scale(sketch: Sketch, kind: Baseline) -> None:
    found = untrained_sketch(kind, sketch)
    assert found.num_filters.tolist() == [UNTRAINED_FILTERS]
    np.testing.assert_array_equal(found.counts, untrained_sketch(kind, sketch).counts)
    basis = sketch.basis
    weights = untrained_filters(kind).astype(np.float64) * 0.0371
    coefficients = (reference.scale(weights) - basis.mean) @ basis.components.T
    counts = np.array([np.histogram(column, 70, (basis.low, basis.high))[0] for column in coefficients.T])
    assert np.abs(counts - found.counts[0]).sum() <= 10  # at edges, where the last digit decides


def test_another_sample_differs_by_chance_alone(sketch: Sketch) -> None:
    first = untrained_sketch(Baseline.normal, sketch).counts[0]
    scaled = reference.scale(untrained_filters(Baseline.normal, seed=1))
    coefficients = (scaled - sketch.basis.mean) @ sketch.basis.components.T
    second = np.array([np.histogram(column, 70, (-2.5, 2.5))[0] for column in coefficients.T])
    spread = (first - second) / np.sqrt(np.maximum(first + second, 1))
    assert spread.std() == pytest.approx(1, abs=0.15)


def test_they_stand_beside_the_layers_of_any_store(sketch: Sketch) -> None:
    ids = [untrained_layer_id(kind) for kind in Baseline]
    assert max(ids) < 0
    assert len({layer >> MODEL_BITS_SHIFT for layer in ids}) == len(ids)
    both = with_untrained(sketch, (Baseline.uniform, Baseline.normal, Baseline.normal))
    assert both.layer_ids.tolist() == sorted(ids)
    assert with_untrained(sketch, ()) is sketch
    rounded = Sketch(
        *(sketch.layer_ids, sketch.counts, sketch.below, sketch.above, sketch.basis),
        preparation=Preparation(rounding=Rounding.float16),
    )
    found = untrained_sketch(Baseline.normal, rounded)
    assert found.preparation == rounded.preparation
    moved = np.abs(found.counts - untrained_sketch(Baseline.normal, sketch).counts).sum()
    assert 0 < moved < 0.01 * found.counts.sum()


def test_moments_are_those_of_the_filters() -> None:
    found = untrained_moments(Baseline.normal)
    scaled = reference.scale(untrained_filters(Baseline.normal))
    np.testing.assert_allclose(found.mean, scaled.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(scaled, rowvar=False), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.eye(9) * 2.6925 / 9, atol=0.0015)
