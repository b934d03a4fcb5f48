"""PERMANOVA and PERMDISP against vegan and scikit-bio, which were asked once (``permanova_reference``), and by hand."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import f_oneway

from analysis.measures.designs import Design
from analysis.measures.exchange import Arrangements, arrangements_of
from analysis.measures.permanova import permanova
from analysis.measures.permdisp import Space, permdisp
from analysis.selection.factors import Factor, cells_of
from analysis.settings import Middle
from distributed.errors import UserError

EXPECTED = json.loads((Path(__file__).parent / "permanova_reference" / "expected.json").read_text())


def factor(name: str, values: list[Any]) -> Factor:
    levels = sorted(set(values))
    return Factor(name, tuple(map(str, levels)), np.array([levels.index(value) for value in values]))


def case(name: str) -> tuple[np.ndarray, dict[str, Factor]]:
    """(N, N) squared distances, and factors by name."""
    content = EXPECTED[name]
    number = len(content["factors"]["A"])
    squared = np.zeros((number, number))
    squared[np.triu_indices(number, 1)] = np.array(content["distances"]) ** 2
    return squared + squared.T, {key: factor(key, values) for key, values in content["factors"].items()}


def free(factors: list[Factor], permutations: int = 4999, strata: np.ndarray | None = None) -> Arrangements:
    number = len(factors[0].codes)
    labels = cells_of([each.codes for each in factors])
    strata = np.zeros(number, np.int64) if strata is None else strata
    return arrangements_of(labels, strata, np.arange(number), permutations, seed=3)


def within_chance(found: float, expected: float, permutations: int = 4999) -> bool:
    """Two Monte-Carlo estimates of one p: less than four standard errors apart."""
    p = max(expected, 1e-3)
    return abs(found - expected) < 4 * math.sqrt(p * (1 - min(p, 0.999)) * (1 / permutations + 1 / 9999)) + 2e-4


@pytest.mark.parametrize("name", EXPECTED)
def test_equals_vegan(name: str) -> None:
    squared, named = case(name)
    factors, vegan = [named[each] for each in "ABC"], EXPECTED[name]["vegan"]
    design = Design.of(factors)
    for way, strata in itertools.product(("terms", "margin"), ("free", "strata")):
        among = free(factors, strata=named["S"].codes if strata == "strata" else None)
        result = permanova(squared, design, among)
        found = getattr(result, way)
        told = {column: vegan[f"{way} {strata} {column}"] for column in ("Df", "SumOfSqs", "R2", "F", "Pr(>F)")}
        assert [*found.df, result.residual_df] == told["Df"][:4]
        np.testing.assert_allclose([*found.ss, result.residual_ss, result.total_ss], told["SumOfSqs"], rtol=1e-8)
        np.testing.assert_allclose(found.r2, told["R2"][:3], rtol=0, atol=1e-8)
        np.testing.assert_allclose(found.f, told["F"][:3], rtol=1e-8)
        for mine, theirs in zip(found.p, told["Pr(>F)"][:3], strict=True):
            assert within_chance(mine, theirs), (way, strata, mine, theirs)


@pytest.mark.parametrize("name", EXPECTED)
def test_one_factor_equals_scikit_bio(name: str) -> None:
    squared, named = case(name)
    for each in "ABC":
        f, p = EXPECTED[name]["scikit-bio"][f"{each} F, p"]
        result = permanova(squared, Design.of([named[each]]), free([named[each]]))
        assert result.terms.f[0] == result.margin.f[0] == pytest.approx(f, rel=1e-8)
        assert within_chance(result.terms.p[0], p)
        assert result.shared == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("adjusted", [False, True])
def test_dispersion_equals_vegan(name: str, adjusted: bool) -> None:
    """vegan stops looking for a spatial median where BFGS does: its distances are good to four digits or so."""
    squared, named = case(name)
    for middle, tolerance in ((Middle.centroid, 1e-8), (Middle.median, 2e-3)):
        found = permdisp(
            Space(squared),
            named["B"],
            middle,
            lambda rows: free([named["B"].of(rows)]),
            bias_adjust=adjusted,
        )
        kind = f"{middle} {'adjusted' if adjusted else 'plain'}"
        f, p = EXPECTED[name]["vegan"][f"{kind} F, p"]
        distances = EXPECTED[name]["vegan"][f"{kind} distances"]
        np.testing.assert_allclose(found.distances, distances, rtol=0, atol=tolerance * max(distances))
        assert found.f == pytest.approx(f, rel=tolerance * 10)
        assert within_chance(found.p, p)
    if name != "imaginary" and not adjusted:  # scikit-bio leaves the imaginary axes out
        centroid = permdisp(Space(squared), named["B"], Middle.centroid, lambda rows: None)
        assert centroid.f == pytest.approx(EXPECTED[name]["scikit-bio"]["centroid F"], rel=1e-8)
        assert math.isnan(centroid.p)


def test_spatial_median_is_the_nearest_point() -> None:
    """Against a minimiser of SciPy's; and where the median is one of the points themselves."""
    random = np.random.default_rng(4)
    points = random.normal(size=(12, 3)) * [3, 1, 0.2]
    points[6:] = [[0, 0, 0], [5, 0, 0], [-3, 4, 0], [-3, -4, 0], [0, 0, 6], [0, 0, -7]]
    groups = factor("g", [0] * 6 + [1] * 6)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    found = permdisp(Space(squared), groups, Middle.median, lambda rows: None)
    for mine in (points[:6], points[6:]):
        best = minimize(
            lambda middle, mine=mine: np.linalg.norm(mine - middle, axis=1).sum(),
            mine.mean(axis=0) + 1e-3,
            method="Nelder-Mead",
            options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20_000},
        )
        rows = slice(0, 6) if mine[0, 0] else slice(6, 12)
        np.testing.assert_allclose(found.distances[rows], np.linalg.norm(mine - best.x, axis=1), atol=1e-6)


def test_every_arrangement_counts_once() -> None:
    """p of all ways to deal labels out is that of all permutations of the rows, one by one."""
    squared, named = case("euclidean")
    rows = np.array([0, 1, 2, 3, 5, 7])
    a = Factor("a", ("x", "y"), np.array([0, 0, 1, 1, 1, 0]))
    design, inside = Design.of([a]), squared[np.ix_(rows, rows)]
    exact = free([a], permutations=20)
    assert (exact.exact, exact.number) == (True, 20)
    result = permanova(inside, design, exact)
    everything = np.array(list(itertools.permutations(range(6))))
    listed = Arrangements(720, True, exact.blocks, 6, 0, everything)
    assert permanova(inside, design, listed).terms.p[0] == pytest.approx(result.terms.p[0], abs=1e-12)
    assert not free([a], permutations=19).exact
    del named


def test_every_arrangement_of_the_spread_counts_once() -> None:
    """The observed one as what was observed: its residuals alone would give 0."""
    random = np.random.default_rng(2)
    points = random.normal(size=(7, 2)) * np.array([1, 1, 1, 1, 3, 3, 3])[:, None]
    squared, codes = ((points[:, None] - points[None]) ** 2).sum(axis=2), np.array([0, 0, 0, 0, 1, 1, 1])
    groups = Factor("g", ("0", "1"), codes)
    found = permdisp(Space(squared, is_euclidean=True), groups, Middle.centroid, lambda rows: free([groups], 35))
    assert found.arrangements is not None
    assert (found.arrangements.exact, found.arrangements.number) == (True, 35)
    residuals = found.distances - np.array([found.distances[codes == g].mean() for g in codes])
    null = []
    for chosen in itertools.combinations(range(7), 3):
        first, second = np.delete(residuals, chosen), residuals[list(chosen)]
        null.append(found.f if chosen == (4, 5, 6) else f_oneway(first, second).statistic)
    assert found.p == pytest.approx(np.mean(np.array(null) >= found.f - 1e-12))


def test_strata_and_units_hold_in_every_arrangement() -> None:
    labels = np.array([0, 1, 0, 1, 2, 0, 1, 2, 1, 0])
    strata = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
    units = np.array([0, 0, 1, 1, 2, 3, 4, 5, 6, 7])
    exact = arrangements_of(labels, strata, units, 10_000, 0)
    # Units of two: 2 alike, each in 2 orders; two units of one in stratum 0; three in stratum 1, two of them alike.
    assert (exact.exact, exact.number) == (True, (1 * 2 * 2) * 2 * 3)
    assert len({tuple(labels[row]) for row in exact.batch(0)}) == min(16, exact.number)
    every = np.concatenate([exact.batch(i) for i in range(exact.batches)])
    assert len({tuple(labels[row]) for row in every}) == exact.number
    drawn = arrangements_of(labels, strata, units, 23, 0)
    assert (drawn.exact, drawn.batches) == (False, 2)
    seen = np.concatenate([drawn.batch(i) for i in range(2)])
    assert seen.shape == (23, 10)
    np.testing.assert_array_equal(seen, np.concatenate([drawn.batch(i) for i in range(2)]))
    for row in np.concatenate([every, seen]):
        assert sorted(row) == list(range(10))
        assert (strata[row] == strata).all()
        assert units[row[0]] == units[row[1]]
        assert units[row[2]] == units[row[3]]
        assert row[9] == 9
    assert {units[row[0]] for row in seen} == {0, 1}
    assert {row[0] % 2 for row in seen} == {0, 1}


def test_nested_equal_and_empty_factors_are_refused_by_name() -> None:
    a = factor("task", ["x", "x", "y", "y", "z", "z", "x", "y"])
    same = factor("kind", [1, 1, 2, 2, 3, 3, 1, 2])
    finer = factor("dataset", ["p", "q", "r", "r", "s", "s", "p", "r"])
    other = factor("recipe", [0, 1, 0, 1, 0, 1, 0, 1])
    for factors, said in (
        ([a, same], "factors task and kind group these models alike"),
        ([a, finer], "factor dataset is nested in task, each dataset has one task"),
        ([finer, a], "factor dataset is nested in task, each dataset has one task"),
        ([factor("one", [0] * 8), a], "factor one is 0 for all of 8 observations"),
        ([factor("model", list(range(8)))], "factor model has another value for each of 8 observations"),
        ([factor("m", [0, 1, 2, 3, 4, 5, 6, 6]), factor("n", [0, 1, 0, 0, 0, 0, 0, 1])], "take 7 degrees of freedom"),
    ):
        with pytest.raises(UserError, match=said):
            Design.of(factors)
    assert Design.of([a, other]).df_margin.tolist() == [2, 1]


def test_a_factor_that_follows_from_two_others_is_refused() -> None:
    """No pair is nested, but the third is the sum of the others."""
    x, y = np.tile([0, 0, 1, 1], 3), np.tile([0, 1, 0, 1], 3)
    made = Factor("xy", ("0", "1"), x ^ y)
    assert Design.of([Factor("x", ("0", "1"), x), Factor("y", ("0", "1"), y), made]).df == 3  # xor is no sum
    parts = [factor("row", list("aabbccab")), factor("column", list("pqpqpqpq"))]
    place = factor("place", [1, 2, 2, 3, 3, 4, 1, 3])  # row a is 0, b 1, c 2; column p 1, q 2; each cell is their sum
    with pytest.raises(UserError, match="factor column follows from the others together"):
        Design.of([*parts, place])


def test_p_is_uniform_where_nothing_is_there() -> None:
    random = np.random.default_rng(5)
    found = []
    for _ in range(300):
        points = random.normal(size=(15, 3))
        a = Factor("a", ("0", "1", "2"), np.arange(15) % 3)
        squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        found.append(permanova(squared, Design.of([a]), free([a], 99)).terms.p[0])
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.09
    assert 0.42 <= np.mean(np.array(found) <= 0.5) <= 0.58
