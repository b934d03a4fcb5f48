"""Weight and certainty of a matrix, from a sketch made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.arrays.sketch import Sketch
from analysis.measures.drift import DIVERGENCES, distributions
from analysis.measures.drift_matrix import DriftMethod, axis_shift
from analysis.measures.uncertainty import Resampling
from analysis.measures.weighting import unit_histograms
from analysis.selection.grouping import Group, Grouping
from analysis.settings import Unit, Weight

BINS = 6
MODEL_OF_LAYER = np.array([0, 0, 1, 2, 2, 2, 3])
GROUP_OF_LAYER = np.array([0, 0, 0, 1, 1, 1, 1])


@pytest.fixture
def sketch() -> Sketch:
    axes = PrincipalAxes.from_moments(Moments(100, np.zeros(9), np.eye(9) * np.arange(9, 0, -1)))
    random = np.random.default_rng(0)
    layers = len(MODEL_OF_LAYER)
    sizes = np.array([10, 1000, 50, 7, 70, 700, 33])
    counts = np.stack(
        [
            np.stack([np.histogram(random.integers(0, BINS, size), np.arange(BINS + 1))[0] for _ in range(9)])
            for size in sizes
        ]
    )
    ids = (MODEL_OF_LAYER.astype(np.int64) << 16) + np.arange(layers)
    sides = np.zeros((layers, 9), np.int64)
    return Sketch(ids, counts.astype(np.int64), sides, sides, axes.with_range(-1.0, 1.0, BINS))


def grouping_of(sketch: Sketch, axis: str = "task") -> Grouping:
    groups = (Group("a", "a (2)", 1060, 3, 2), Group("b", "b (2)", 810, 4, 2))
    return Grouping(axis, groups, sketch.layer_ids, GROUP_OF_LAYER.astype(np.int64))


@pytest.mark.parametrize("weight", list(Weight))
def test_weights_equal_their_definition(sketch: Sketch, weight: Weight) -> None:
    expected = []
    for group in (0, 1):
        total = np.zeros((9, BINS))
        for model in np.unique(MODEL_OF_LAYER[group == GROUP_OF_LAYER]):
            mine = sketch.counts[model == MODEL_OF_LAYER].astype(float)
            if weight is Weight.filters:
                total += mine.sum(axis=0)
            elif weight is Weight.layers:
                total += sum(layer / layer[0].sum() for layer in mine)
            else:
                total += mine.sum(axis=0) / mine[:, 0].sum()
        expected.append(total)
    basis = sketch.basis
    groups = distributions(np.array(expected), basis.explained_variance_ratio, basis.low, basis.high)
    found = axis_shift(sketch, grouping_of(sketch), DriftMethod(weight=weight))
    np.testing.assert_allclose(found.drift, DIVERGENCES["kl"].matrix(groups), rtol=1e-9, atol=1e-15)


def test_histograms_are_per_model_and_group(sketch: Sketch) -> None:
    crossed = Grouping("depth", grouping_of(sketch).groups, sketch.layer_ids, np.array([0, 1, 0, 1, 0, 1, 1]))
    found = unit_histograms(sketch, crossed, Weight.filters)
    assert list(zip(found.group.tolist(), found.unit.tolist(), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3),
    ]  # fmt: skip
    np.testing.assert_array_equal(found.counts[4], sketch.counts[[3, 5]].sum(axis=0))


@pytest.mark.parametrize("weight", list(Weight))
def test_models_of_one_lineage_are_one_unit(sketch: Sketch, weight: Weight) -> None:
    """Models 0, 2 and 3 descend from one another; in group b two of them are one row, and every sum stays."""
    by_model = grouping_of(sketch)
    by_lineage = replace(by_model, unit=Unit.lineage, kin={2: 0, 3: 0})
    each, found = (unit_histograms(sketch, grouping, weight) for grouping in (by_model, by_lineage))
    assert list(zip(found.group.tolist(), found.unit.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    np.testing.assert_allclose(found.counts[2], each.counts[each.group == 1].sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.group_sums, each.group_sums, rtol=1e-12)
    assert by_lineage.units_of_groups.tolist() == [2, 1]
    shift = axis_shift(sketch, by_lineage, DriftMethod(weight=weight, resampling=Resampling(50), min_models=2))
    assert shift.few_models.tolist() == [[False, True], [True, True]]
    rows = shift.pairs().to_pylist()
    assert (rows[1]["models_a"], rows[1]["models_b"], rows[1]["units_a"], rows[1]["units_b"]) == (2, 2, 2, 1)
    assert rows[1]["drift_debiased"] is None  # without the one lineage on its side nothing is left


def test_certainty_is_made_where_it_makes_sense(sketch: Sketch) -> None:
    sure = DriftMethod(resampling=Resampling(50), min_models=3)
    by_task = axis_shift(sketch, grouping_of(sketch), sure)
    assert by_task.uncertainty is not None
    assert by_task.uncertainty.debiased[0, 1] < by_task.drift[0, 1] < by_task.uncertainty.high[0, 1]
    assert by_task.verdicts is None
    for margin, expected in ((1e5, "no shift"), (0.0, "undecided")):  # two against two models: p is 1/3 at best
        judged = axis_shift(sketch, grouping_of(sketch), replace(sure, margin=margin))
        assert judged.pairs().column("verdict").to_pylist()[1] == expected
        assert judged.pairs().drop_columns("verdict").equals(by_task.pairs())
    assert by_task.few_models.all()
    by_layer = axis_shift(sketch, grouping_of(sketch, "layer"), replace(sure, margin=0.1))
    assert by_layer.uncertainty is by_layer.verdicts is None
    assert any("no verdicts" in note for note in by_layer.notes)
    assert not by_layer.few_models.any()
    too_many = axis_shift(sketch, grouping_of(sketch), DriftMethod(resampling=Resampling(50), max_tested_groups=1))
    assert too_many.uncertainty is None
    assert any("max_tested_groups=1" in note for note in too_many.notes)


def test_every_divergence_goes_through(sketch: Sketch) -> None:
    for name, divergence in DIVERGENCES.items():
        found = axis_shift(sketch, grouping_of(sketch), DriftMethod(divergence, resampling=Resampling(30)))
        assert found.divergence == divergence.title
        assert found.drift[0, 1] > 0, name
        assert found.uncertainty is not None
        assert found.uncertainty.high[0, 1] >= found.uncertainty.low[0, 1] >= 0
