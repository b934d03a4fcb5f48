"""Debiased drift and its interval: against leaving out by hand, and what they promise on simulated data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from analysis.measures.drift import DIVERGENCES
from analysis.measures.jackknife import jackknife
from analysis.measures.student import student_quantiles
from analysis.measures.weighting import UnitHistograms
from tests.analysis.measures.simulated import COMPONENTS, KL, between, drift_of, models, nested, shared


def without(found: UnitHistograms, unit: int) -> UnitHistograms:
    kept = found.unit != unit
    return UnitHistograms(found.counts[kept], found.group[kept], found.unit[kept])


def by_hand(found: UnitHistograms, a: int, b: int) -> tuple[float, float, float]:
    """Debiased, error, freedom: every unit left out, histograms summed anew."""
    drift, (in_a, in_b) = drift_of(found, a, b), (set(found.unit[found.group == g].tolist()) for g in (a, b))
    samples = [in_a, in_b] if not in_a & in_b else [in_a | in_b]
    bias, terms = 0.0, []
    for sample in samples:
        drifts = np.array([drift_of(without(found, unit), a, b) for unit in sorted(sample)])
        m = len(drifts)
        bias += (m - 1) * (drifts.mean() - drift)
        terms.append((m, (m - 1) / m * ((drifts - drifts.mean()) ** 2).sum()))
    total = sum(v for _, v in terms)
    return drift - bias, total**0.5, total**2 / sum(v**2 / (m - 1) for m, v in terms)


def test_it_is_that_of_leaving_out_by_hand() -> None:
    random = np.random.default_rng(0)
    apart = nested(models(random, 2), models(random, 5, shift=0.4), models(random, 9, shift=0.2))
    mixed = UnitHistograms(
        models(random, 11, shift=0.3), np.repeat([0, 1], [5, 6]), np.r_[0:5, 3:9]
    )  # units 3 and 4 on both sides
    for found in (apart, mixed, shared(models(random, 4), models(random, 4, shift=0.5))):
        made = jackknife(found, between)
        for a in range(found.groups):
            for b in range(a + 1, found.groups):
                expected = by_hand(found, a, b)
                for values, value in zip((made.debiased, made.error, made.freedom), expected, strict=True):
                    assert values[a, b] == values[b, a] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", list(DIVERGENCES))
def test_weighted_counts_and_every_divergence(name: str) -> None:
    """Counts that are no whole numbers leave no crumbs of a unit that is left out: an empty bin is empty."""
    counts = np.random.default_rng(1).poisson(0.7, size=(7, COMPONENTS, 12)) / 7.0
    found = UnitHistograms(counts, np.repeat([0, 1], [3, 4]), np.arange(7))
    measure = DIVERGENCES[name].resampled(np.full(COMPONENTS, 1 / COMPONENTS), -3.0, 3.0)
    made = jackknife(found, measure.pairs)
    sides = [found.counts[found.group == g] for g in (0, 1)]
    drift = measure.pairs(*(side.sum(axis=0)[None] for side in sides))[0]
    bias = 0.0
    for g, side in enumerate(sides):
        drifts = []
        for i in range(len(side)):
            left = [np.delete(each, i, axis=0) if h == g else each for h, each in enumerate(sides)]
            drifts.append(measure.pairs(*(each.sum(axis=0)[None] for each in left))[0])
        bias += (len(side) - 1) * (np.mean(drifts) - drift)
    assert made.debiased[0, 1] == pytest.approx(drift - bias, rel=1e-9)


def test_of_one_unit_nothing_is_known() -> None:
    random = np.random.default_rng(2)
    made = jackknife(nested(models(random, 1), models(random, 3)), KL.pairs)
    assert np.isnan([made.debiased[0, 1], made.error[0, 1], made.freedom[0, 1]]).all()
    assert all(np.isnan(bound[0, 1]) for bound in made.interval(0.95))


def test_identical_parts_have_no_drift_for_certain() -> None:
    part = models(np.random.default_rng(3), 5)
    low, high = jackknife(shared(part, part), KL.pairs).interval(0.95)
    assert low[0, 1] == high[0, 1] == 0.0


@pytest.mark.parametrize("shift", [0.0, 0.15, 1.0])
def test_planted_drift_is_met_on_average_and_covered(shift: float) -> None:
    random = np.random.default_rng(4)
    many = nested(models(random, 20_000), models(random, 20_000, shift=shift))
    true = drift_of(many) if shift else 0.0
    plain, debiased, covered = [], [], []
    for _ in range(300):
        found = nested(models(random, 6), models(random, 8, shift=shift))
        made = jackknife(found, KL.pairs)
        low, high = made.interval(0.95)
        plain.append(drift_of(found))
        debiased.append(made.debiased[0, 1])
        covered.append(low[0, 1] <= true <= high[0, 1])
    assert abs(np.mean(debiased) - true) < 0.25 * (np.mean(plain) - true)
    assert np.mean(covered) >= 0.92
    if not shift:
        assert min(debiased) < 0 < np.mean(plain)


def test_lineages_as_units_are_less_sure() -> None:
    """Five models, each in four copies that hardly differ, are five observations, not twenty."""
    random = np.random.default_rng(5)
    counts = [np.repeat(models(random, 5, shift=shift), 4, axis=0) for shift in (0.0, 0.5)]
    copies = [np.maximum(each + random.integers(-3, 4, each.shape), 0.0) for each in counts]
    each = nested(*copies)
    lineages = UnitHistograms(
        each.counts.reshape(10, 4, *each.counts.shape[1:]).sum(axis=1), np.repeat([0, 1], 5), np.arange(10)
    )
    (low, high), (wide_low, wide_high) = (jackknife(found, KL.pairs).interval(0.95) for found in (each, lineages))
    assert wide_high[0, 1] - wide_low[0, 1] > 1.5 * (high[0, 1] - low[0, 1])


def test_student_quantiles_are_those_of_scipy() -> None:
    freedom = np.array([[1.0, 1.5, 2.0], [3.7, 10.0, 640.0]])
    for p in (0.55, 0.9, 0.975, 0.995):
        np.testing.assert_allclose(student_quantiles(p, freedom), student.ppf(p, freedom), rtol=3e-5)
    assert np.isnan(student_quantiles(0.975, np.array([np.nan]))).all()
