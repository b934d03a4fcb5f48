"""Drift against SciPy's entropy, and what must hold exactly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from analysis.measures.drift import DIVERGENCES, EMPTY_BIN_DENSITY, distributions, symmetric_kl
from tests import reference

LOW, HIGH = -1.7, 2.3
RATIO = np.array([0.4, 0.18, 0.12, 0.1, 0.07, 0.055, 0.03, 0.025, 0.02])


def histograms(coefficients: list[np.ndarray], bins: int = 70) -> np.ndarray:
    return np.stack(
        [
            [np.histogram(group[:, i], bins=bins, range=(LOW, HIGH))[0] for i in range(group.shape[1])]
            for group in coefficients
        ]
    )


def by_scipy(counts: np.ndarray, weights: np.ndarray, low: float, high: float) -> np.ndarray:
    """(G, G), from counts: the density as NumPy defines it, pair by pair."""
    groups, components, bins = counts.shape
    width = (high - low) / bins
    result = np.zeros((groups, groups))
    for a in range(groups):
        for b in range(groups):
            for i in range(components):
                p, q = (
                    np.where(counts[g, i] == 0, reference.EPS, counts[g, i] / counts[g, i].sum() / width)
                    for g in (a, b)
                )
                result[a, b] += weights[i] * (entropy(p, q) + entropy(q, p))
    return result


def test_equals_scipy_on_coefficients() -> None:
    generator = np.random.default_rng(3)
    groups = [np.clip(generator.normal(0.1 * g, 0.3 + 0.05 * g, (400 * (g + 1), 9)), LOW, HIGH) for g in range(5)]
    ours = symmetric_kl(distributions(histograms(groups), RATIO, LOW, HIGH))
    theirs = [[reference.drift(a, b, RATIO, LOW, HIGH) for b in groups] for a in groups]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
    assert ours[0, 4] > 0.1


def test_distributions_are_the_published_ones() -> None:
    counts = np.array([[[0, 1, 3, 0]]])
    result = distributions(counts, [1.0], -1.0, 1.0)
    density = np.array([EMPTY_BIN_DENSITY, 0.25 / 0.5, 0.75 / 0.5, EMPTY_BIN_DENSITY])
    np.testing.assert_allclose(result.probabilities[0, 0], density / density.sum(), rtol=1e-15)
    assert np.float32(1.1920929e-07) == EMPTY_BIN_DENSITY
    assert result.width == 0.5


@st.composite
def counted(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(st.integers(2, 7)), draw(st.integers(1, 4)), draw(st.integers(2, 12)))
    sizes = st.one_of(st.integers(0, 5), st.integers(0, 10**9))
    counts = draw(hnp.arrays(np.int64, shape, elements=sizes))
    counts[..., draw(st.integers(0, shape[2] - 1))] += 1  # no group is empty
    if draw(st.booleans()):  # twins and near twins: where cancellation would show
        counts[1] = counts[0]
        counts[1, 0, 0] += draw(st.integers(0, 3))
    return counts


@settings(max_examples=150, deadline=None)
@given(counted())
def test_equals_scipy_for_any_counts(counts: np.ndarray) -> None:
    weights = np.linspace(1.0, 0.2, counts.shape[1])
    weights /= weights.sum()
    ours = symmetric_kl(distributions(counts, weights, LOW, HIGH))
    theirs = by_scipy(counts, weights, LOW, HIGH)
    # SciPy's own sum of p ln(p/q) is only good to about 1e-16 absolutely; the rest is held to the relative bound.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=5e-15)
    assert (np.diag(ours) == 0).all()
    assert (ours == ours.T).all()
    assert (ours >= 0).all()


@settings(max_examples=60, deadline=None)
@given(counted(), st.randoms(use_true_random=False))
def test_order_of_groups_does_not_matter(counts: np.ndarray, random: object) -> None:
    order = np.random.default_rng(random.randint(0, 2**31)).permutation(len(counts))  # type: ignore[attr-defined]
    weights = np.full(counts.shape[1], 1 / counts.shape[1])
    there = symmetric_kl(distributions(counts, weights, LOW, HIGH))
    np.testing.assert_allclose(
        symmetric_kl(distributions(counts[order], weights, LOW, HIGH)), there[np.ix_(order, order)], rtol=1e-9, atol=0
    )


def test_near_twins_keep_their_digits() -> None:
    """One filter of a billion moved by a bin: a plain expansion gives noise here, of either sign."""
    counts = np.full((3, 9, 70), 10**9)
    counts[1, 0, 3] += 1
    counts[1, 0, 4] -= 1
    counts[2] = np.random.default_rng(0).integers(1, 10**9, (9, 70))
    drift = symmetric_kl(distributions(counts, RATIO, LOW, HIGH))
    expected = RATIO[0] * 2 * (1 / 70e9) ** 2 / (1 / 70)  # sum of (p - q)^2 / p over the two bins
    assert drift[0, 1] == pytest.approx(expected, rel=1e-6)


def test_equal_counts_drift_exactly_zero() -> None:
    counts = np.random.default_rng(1).integers(0, 1000, (1, 9, 70))
    drift = symmetric_kl(distributions(np.concatenate([counts, counts * 3, counts]), RATIO, LOW, HIGH))
    assert drift[0, 2] == 0.0
    assert drift[0, 1] < 1e-25


def test_a_thousand_groups_take_seconds_at_most() -> None:
    generator = np.random.default_rng(2)
    counts = generator.integers(0, 500, (1000, 9, 70))
    start = time.perf_counter()
    drift = symmetric_kl(distributions(counts, RATIO, LOW, HIGH))
    assert time.perf_counter() - start < 10
    a, b = 17, 940
    np.testing.assert_allclose(drift[a, b], by_scipy(counts[[a, b]], RATIO, LOW, HIGH)[0, 1], rtol=1e-10)


def test_refuses_what_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="group 1 holds no filter"):
        distributions(np.array([[[1, 2]], [[0, 0]]]), [1.0], 0.0, 1.0)
    with pytest.raises(ValueError, match=r"range 1\.0 … 1\.0 is empty"):
        distributions(np.array([[[1, 2]]]), [1.0], 1.0, 1.0)


def test_registry_names_what_the_picture_says() -> None:
    assert DIVERGENCES["kl"].title == "symmetric KL, EVR-weighted"
    assert DIVERGENCES["kl"].quick is symmetric_kl


@pytest.mark.parametrize("name", list(DIVERGENCES))
def test_replicates_and_matrix_agree_for_every_divergence(name: str) -> None:
    """The four ways to a drift: the matrix, its replicates, pairs, and one pair by the plain formula."""
    counts = np.random.default_rng(3).poisson(5.0, size=(4, 6, 9, 70))
    counts[2, 1] = 0  # a replicate that lost all of a group
    divergence = DIVERGENCES[name]
    resampled = divergence.resampled(RATIO, LOW, HIGH)
    replicates = resampled.matrices(counts.astype(float))
    pairs = resampled.pairs(counts[:, 1].astype(float), counts[:, 4].astype(float))
    for r in (0, 1, 3):
        groups = distributions(counts[r], RATIO, LOW, HIGH)
        matrix = divergence.matrix(groups)
        np.testing.assert_allclose(replicates[r], matrix, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(matrix, matrix.T)
        pair = divergence.between(groups.probabilities[1], groups.probabilities[4], groups.width) @ groups.weights
        assert matrix[1, 4] == pytest.approx(pair, rel=1e-9)
        assert pairs[r] == pytest.approx(pair, rel=1e-12)
    assert np.isnan(pairs[2])
    lost = np.isnan(replicates[2])
    expected = np.zeros((6, 6), dtype=bool)
    expected[1, :] = expected[:, 1] = True
    assert (lost[expected & ~np.eye(6, dtype=bool)]).all()
    assert not lost[~expected].any()
