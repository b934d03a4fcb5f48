"""The compiled loops against NumPy, from the definitions of DESIGN §4."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.arrays.kernels import Binning, NonFiniteFilterError, Projection, kernels_for
from analysis.arrays.kernels.compiled import cache_folder
from tests.conftest import REPOSITORY
from tests.reference import scale
from tests.stores import random_filters

KERNELS = kernels_for("cpu")
ROTATION = Projection(np.linalg.qr(np.random.default_rng(7).standard_normal((9, 9)))[0], np.linspace(-0.2, 0.3, 9))


def columns_of(filters: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(filters[:, k]) for k in range(9)]


def coefficients(filters: np.ndarray) -> np.ndarray:
    return scale(filters) @ ROTATION.matrix.T + ROTATION.offset


def one_run(rows: int) -> np.ndarray:
    return np.array([0, rows])


@pytest.mark.parametrize("rows", [1, 9, 255, 256, 257, 70_000])
def test_extremes_are_those_of_numpy(rows: int) -> None:
    filters = random_filters(np.random.default_rng(rows), rows)
    found, expected = KERNELS.extremes(columns_of(filters), ROTATION), coefficients(filters)
    np.testing.assert_allclose(found.low, expected.min(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.high, expected.max(axis=0), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("rows", "bins"), [(1, 70), (256, 70), (100_003, 70), (20_000, 7), (20_000, 1000)])
def test_counts_are_those_of_numpy_histogram(rows: int, bins: int) -> None:
    filters = random_filters(np.random.default_rng(rows), rows)
    expected = coefficients(filters)
    low, high = expected.min() - 1e-3, expected.max() + 1e-3
    counts = KERNELS.histograms(columns_of(filters), one_run(rows), ROTATION, Binning(low, high, bins)).counts
    edges = np.linspace(low, high, bins + 1)
    for k in range(9):
        column = expected[:, k]
        assert np.abs(column[:, None] - edges).min() > 1e-13, "the data must not lie on edges for an exact comparison"
        np.testing.assert_array_equal(counts[0, k, 1:-1], np.histogram(column, bins, (low, high))[0])
    assert not counts[0, :, [0, -1]].any()


def test_the_range_of_the_data_itself_leaves_nothing_outside() -> None:
    filters = random_filters(np.random.default_rng(3), 30_000)
    columns = columns_of(filters)
    extremes = KERNELS.extremes(columns, ROTATION)
    low, high = extremes.low.min(), extremes.high.max()
    counts = KERNELS.histograms(columns, one_run(30_000), ROTATION, Binning(low, high, 70)).counts
    assert counts[0, :, [0, -1]].sum() == 0
    # The last bin is closed and the first one holds its edge: the extremes are counted there.
    assert counts[0, extremes.high.argmax(), -2] >= 1
    assert counts[0, extremes.low.argmin(), 1] >= 1


def test_values_on_edges_follow_numpys_rule() -> None:
    # Scaled weights in steps of 1/4 and the identity as projection: every coefficient lies on an edge.
    rng = np.random.default_rng(0)
    filters = rng.integers(-4, 5, (5000, 9)).astype(np.float32)
    filters[np.arange(5000), rng.integers(0, 9, 5000)] = 4
    identity = Projection(np.eye(9), np.zeros(9))
    counts = KERNELS.histograms(columns_of(filters), one_run(5000), identity, Binning(-1.0, 1.0, 8)).counts
    for k in range(9):
        np.testing.assert_array_equal(counts[0, k, 1:-1], np.histogram(scale(filters)[:, k], 8, (-1.0, 1.0))[0])


def test_coefficients_outside_are_counted_apart() -> None:
    filters = random_filters(np.random.default_rng(5), 10_000)
    expected = coefficients(filters)
    counts = KERNELS.histograms(columns_of(filters), one_run(10_000), ROTATION, Binning(-0.5, 0.25, 70)).counts
    np.testing.assert_array_equal(counts[0, :, 0], (expected < -0.5).sum(axis=0))
    np.testing.assert_array_equal(counts[0, :, -1], (expected > 0.25).sum(axis=0))
    np.testing.assert_array_equal(counts[0].sum(axis=1), np.full(9, 10_000))


def test_zero_and_denormal_filters_count() -> None:
    filters = np.zeros((3, 9), np.float32)
    filters[1] = np.float32(1e-45)
    filters[2, 4] = np.float32(-3e-42)
    found, expected = KERNELS.extremes(columns_of(filters), ROTATION), coefficients(filters)
    np.testing.assert_allclose(found.high, expected.max(axis=0), atol=1e-14)
    np.testing.assert_allclose(found.low, expected.min(axis=0), atol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 255, 300, 999])
def test_a_filter_that_is_not_finite_is_named(bad: float, row: int) -> None:
    filters = random_filters(np.random.default_rng(1), 1000)
    filters[row, row % 9] = bad
    columns, runs = columns_of(filters), one_run(1000)
    calls = (
        lambda: KERNELS.extremes(columns, ROTATION),
        lambda: KERNELS.histograms(columns, runs, ROTATION, Binning(-9, 9, 70)),
    )
    for call in calls:
        with pytest.raises(NonFiniteFilterError) as error:
            call()
        assert error.value.row == row


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1500), st.lists(st.integers(0, 1500), max_size=6), st.lists(st.integers(0, 1500), max_size=6))
def test_any_partition_into_calls_and_runs_gives_the_same(rows: int, cuts: list[int], bounds: list[int]) -> None:
    filters = random_filters(np.random.default_rng(rows), rows)
    whole = columns_of(filters)
    runs = np.array(sorted({0, rows, *(b for b in bounds if b < rows)}))
    if rows == 0:
        runs = np.array([0])
    binning = Binning(-1.0, 1.1, 70)
    expected = KERNELS.histograms(whole, runs, ROTATION, binning).counts
    if rows:
        together = KERNELS.histograms(whole, one_run(rows), ROTATION, binning).counts
        np.testing.assert_array_equal(together[0], expected.sum(axis=0))
    found = np.zeros_like(expected)
    low, high = np.full(9, np.inf), np.full(9, -np.inf)
    edges = sorted({0, rows, *(c for c in cuts if c < rows)})
    for start, stop in itertools.pairwise(edges):
        part = [column[start:stop] for column in whole]
        first, last = np.searchsorted(runs, start, "right") - 1, np.searchsorted(runs, stop, "left")
        inside = np.clip(runs[first : last + 1], start, stop) - start
        found[first:last] += KERNELS.histograms(part, inside, ROTATION, binning).counts
        extremes = KERNELS.extremes(part, ROTATION)
        low, high = np.minimum(low, extremes.low), np.maximum(high, extremes.high)
    np.testing.assert_array_equal(found, expected)
    everything = KERNELS.extremes(whole, ROTATION)
    np.testing.assert_array_equal(low, everything.low)
    np.testing.assert_array_equal(high, everything.high)


def test_wrong_shapes_are_refused() -> None:
    columns = columns_of(np.ones((5, 9), np.float32))
    with pytest.raises(ValueError, match="nine columns"):
        KERNELS.extremes(columns[:8], ROTATION)
    with pytest.raises(ValueError, match="column 3 is float64"):
        KERNELS.extremes([*columns[:3], columns[3].astype(float), *columns[4:]], ROTATION)
    for starts in ([0, 4], [1, 5], [0, 3, 2, 5], []):
        with pytest.raises(ValueError, match="starts must rise"):
            KERNELS.histograms(columns, np.array(starts, np.int64), ROTATION, Binning(-9, 9, 70))
    with pytest.raises(ValueError, match="no kernels for device 'tpu'"):
        kernels_for("tpu")


def test_compiled_code_is_kept_and_loaded_by_the_next_process() -> None:
    KERNELS.warm()
    folder = cache_folder()
    assert folder is not None
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nbc")}
    assert before
    script = "from analysis.arrays.kernels import kernels_for; kernels_for('cpu').warm(); "
    script += "import analysis.arrays.kernels.compiled as c; "
    script += "assert not [k for k in c.compiled('extremes').stats.cache_misses]; print('loaded')"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "loaded", done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nbc")} == before


def test_a_folder_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    script = "from analysis.arrays.kernels.compiled import cache_folder; print(cache_folder())"
    unsafe = tmp_path / "unsafe" / "cnn-filter-shift"
    unsafe.mkdir(parents=True)
    unsafe.chmod(0o777)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "unsafe")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "None", done.stderr
