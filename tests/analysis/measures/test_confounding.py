"""Cramér's V against SciPy's, its correction by hand, and what is nested in what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats.contingency import association

from analysis.measures.confounding import confounding, contingency, cramers_v
from analysis.selection.factors import Factor


def test_equals_scipy_and_bergsma() -> None:
    counts = np.random.default_rng(0).integers(1, 9, (3, 4))
    plain, corrected = cramers_v(counts)
    assert plain == pytest.approx(association(counts, method="cramer"), rel=1e-12)
    n, phi = counts.sum(), plain**2 * 2
    rows, columns = 3 - 4 / (n - 1), 4 - 9 / (n - 1)
    assert corrected == pytest.approx(math.sqrt(max(0, phi - 6 / (n - 1)) / (min(rows, columns) - 1)), rel=1e-12)
    assert cramers_v(np.diag([3, 4, 5])) == pytest.approx((1.0, 1.0))
    assert math.isnan(cramers_v(np.array([[3, 4]]))[0])


def test_independent_factors_of_many_levels_look_confounded_only_uncorrected() -> None:
    random = np.random.default_rng(1)
    found = []
    for _ in range(50):
        a = Factor("a", tuple(map(str, range(20))), np.concatenate([np.arange(20), random.integers(0, 20, 80)]))
        b = Factor("b", tuple(map(str, range(15))), np.concatenate([np.arange(15), random.integers(0, 15, 85)]))
        found.append(cramers_v(contingency(a, b)))
    plain, corrected = np.mean(found, axis=0)
    assert plain > 0.35
    assert corrected < 0.1


def test_relations_are_named() -> None:
    a = Factor("a", ("x", "y"), np.array([0, 0, 1, 1, 0, 1]))
    fine = Factor("fine", ("p", "q", "r"), np.array([0, 1, 2, 2, 0, 2]))
    cross = Factor("cross", ("0", "1"), np.array([0, 1, 0, 1, 0, 1]))
    table = confounding([a, fine, cross]).to_pylist()
    assert [(row["a"], row["b"], row["relation"], row["cells"]) for row in table] == [
        ("a", "fine", "b in a", 3),
        ("a", "cross", "crossed", 4),
        ("fine", "cross", "crossed", 4),
    ]
    assert table[0]["cramers_v"] == pytest.approx(1.0)
