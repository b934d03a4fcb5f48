"""The loops in PyTorch against the compiled ones and NumPy: on CPU tensors everywhere, on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analysis.arrays.kernels.cuda as cuda
from analysis.arrays.kernels import Binning, Kernels, NonFiniteFilterError, Projection, kernels_for
from analysis.arrays.kernels.cuda import TorchKernels
from distributed.errors import UserError
from tests.reference import scale
from tests.stores import random_filters

COMPILED = kernels_for("cpu")
ROTATION = Projection(np.linalg.qr(np.random.default_rng(7).standard_normal((9, 9)))[0], np.linspace(-0.2, 0.3, 9))
BINNING = Binning(-1.0, 1.1, 70)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return TorchKernels(torch.device(request.param))


@pytest.fixture(params=[97, 1 << 20], ids=["pieces", "whole"])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cuda, "_PIECE", request.param)
    return int(request.param)


def columns_of(filters: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(filters[:, k]) for k in range(9)]


def coefficients(filters: np.ndarray) -> np.ndarray:
    return scale(filters) @ ROTATION.matrix.T + ROTATION.offset


def adversarial(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Large offsets, denormals, zeros, one huge weight among tiny ones, and the largest float32."""
    filters = random_filters(rng, rows)
    kind = rng.integers(0, 6, rows)
    filters[kind == 1] = (1e6 + rng.standard_normal((int((kind == 1).sum()), 9))).astype(np.float32)
    filters[kind == 2] = (rng.integers(-9, 10, (int((kind == 2).sum()), 9)) * 1.4e-45).astype(np.float32)
    filters[kind == 3] = 0
    filters[kind == 4, 3] = np.finfo(np.float32).max
    filters[kind == 5] *= np.float32(1e-38)
    return filters


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("rows", [0, 1, 97, 256, 5000])
def test_the_same_numbers_as_the_compiled_loops(kernels: Kernels, rows: int) -> None:
    columns = columns_of(random_filters(np.random.default_rng(rows), rows))
    starts = np.unique(np.array([0, 0, rows // 3, rows // 2, rows]))
    starts = np.concatenate([starts[:1], starts]) if rows else np.array([0, 0])  # with an empty run
    found, expected = kernels.extremes(columns, ROTATION), COMPILED.extremes(columns, ROTATION)
    np.testing.assert_allclose(found.low, expected.low, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.high, expected.high, rtol=0, atol=1e-14)
    ours, theirs = (each.histograms(columns, starts, ROTATION, BINNING) for each in (kernels, COMPILED))
    np.testing.assert_array_equal(ours.counts, theirs.counts)
    np.testing.assert_allclose(ours.checks, theirs.checks, rtol=0, atol=1e-13 * max(1, rows))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 900), st.lists(st.integers(0, 900), max_size=8))
def test_any_runs_and_pieces(rows: int, bounds: list[int]) -> None:
    kernels = TorchKernels(torch.device("cpu"))
    columns = columns_of(random_filters(np.random.default_rng(rows), rows))
    starts = np.array(sorted([0, rows, *(b for b in bounds if b < rows)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "_PIECE", 97)
        ours = kernels.histograms(columns, starts, ROTATION, BINNING)
    theirs = COMPILED.histograms(columns, starts, ROTATION, BINNING)
    np.testing.assert_array_equal(ours.counts, theirs.counts)


@pytest.mark.usefixtures("piece")
def test_counts_are_numpys_for_adversarial_data(kernels: Kernels) -> None:
    filters = adversarial(np.random.default_rng(3), 6000)
    values = coefficients(filters)
    low, high = values.min() - 1e-3, values.max() + 1e-3
    edges = np.linspace(low, high, 71)
    for backend in (kernels, COMPILED):
        counts = backend.histograms(columns_of(filters), np.array([0, 6000]), ROTATION, Binning(low, high, 70)).counts
        for k in range(9):
            expected = np.histogram(values[:, k], 70, (low, high))[0]
            near = np.abs(values[:, k, None] - edges).min(axis=1) < 1e-6
            assert np.abs(counts[0, k, 1:-1].astype(int) - expected).sum() <= 2 * near.sum()
            assert near.sum() < 0.02 * near.size
        assert not counts[0, :, [0, -1]].any()


def test_values_on_edges_follow_numpys_rule(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    filters = rng.integers(-4, 5, (5000, 9)).astype(np.float32)
    filters[np.arange(5000), rng.integers(0, 9, 5000)] = 4
    identity = Projection(np.eye(9), np.zeros(9))
    counts = kernels.histograms(columns_of(filters), np.array([0, 5000]), identity, Binning(-1.0, 1.0, 8)).counts
    for k in range(9):
        np.testing.assert_array_equal(counts[0, k, 1:-1], np.histogram(scale(filters)[:, k], 8, (-1.0, 1.0))[0])


def test_the_range_of_the_data_itself_leaves_nothing_outside(kernels: Kernels) -> None:
    """Also when the range comes from the other backend."""
    columns = columns_of(random_filters(np.random.default_rng(3), 30_000))
    for first, second in ((kernels, COMPILED), (COMPILED, kernels)):
        extremes = first.extremes(columns, ROTATION)
        binning = Binning(extremes.low.min(), extremes.high.max(), 70)
        counts = second.histograms(columns, np.array([0, 30_000]), ROTATION, binning).counts
        assert counts[0, :, [0, -1]].sum() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.usefixtures("piece")
def test_a_filter_that_is_not_finite_is_named(kernels: Kernels, bad: float) -> None:
    filters = random_filters(np.random.default_rng(1), 1000)
    filters[[431, 900], 4] = bad
    columns, runs = columns_of(filters), np.array([0, 1000])
    calls = (
        lambda: kernels.extremes(columns, ROTATION),
        lambda: kernels.histograms(columns, runs, ROTATION, BINNING),
    )
    for call in calls:
        with pytest.raises(NonFiniteFilterError) as error:
            call()
        assert error.value.row == 431


def test_auto_is_the_cpu_without_a_gpu_of_ray() -> None:
    assert kernels_for("auto").device == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="PyTorch finds no CUDA device here; use device=auto or device=cpu"):
            kernels_for("cuda")


@pytest.mark.gpu
def test_cuda_is_chosen_by_name() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    assert kernels_for("cuda").device == "cuda"
