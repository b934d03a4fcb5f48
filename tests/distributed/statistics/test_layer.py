"""``layer_statistics`` against the plain NumPy definitions, on ordinary and on awkward layers."""

from __future__ import annotations

import dataclasses
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distributed.errors import SkipReason, UnextractableError
from distributed.records import LAYERS_SCHEMA
from distributed.statistics import LayerStatistics, layer_statistics
from distributed.statistics import compiled_sums as compiled_module
from distributed.statistics import passes as passes_module
from distributed.statistics import tensors as tensors_module
from tests.distributed.statistics import reference
from tests.reference import scale


def assert_equals_reference(found: LayerStatistics, weight: np.ndarray) -> None:
    expected = reference.statistics(weight)
    assert set(expected) == {field.name for field in dataclasses.fields(LayerStatistics)}
    for name, value in expected.items():
        actual = getattr(found, name)
        if name == "extreme_filters":
            kept = actual.reshape(4, 9)
            assert all((weight.reshape(-1, 9) == filter_).all(axis=1).any() for filter_ in kept)  # as they are
            along = (np.repeat(reference.DIRECTIONS, 2, axis=0) * scale(kept)).sum(axis=1)
            np.testing.assert_allclose(along, value, rtol=0, atol=1e-14)
            continue
        if value is None or name == "digest":
            assert actual == value, name
            continue
        if name == "weight_sketch":
            np.testing.assert_array_equal(actual, value)
            continue
        # Sums of signed values may cancel: their tolerance is relative to the number of terms (each at most 1).
        atol = 1e-9 * (expected["num_filters"] if name.startswith(("scaled", "clean")) else 1.0)
        if name in ("norm_mean", "norm_std", "max_abs"):
            atol = 1e-9 * expected["norm_mean"]
        np.testing.assert_allclose(actual, value, rtol=1e-9, atol=atol, err_msg=name)


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal((*shape, 3, 3)).astype(np.float32)

    some_zero, with_sparse, far = normal(8, 6), normal(16, 8), normal(20, 5)
    some_zero[2, 3] = 0
    some_zero[5] = 0
    with_sparse[::3] *= 1e-4
    far = (far * 1e-3 + 100).astype(np.float32)
    direction = np.outer(rng.standard_normal(12), rng.standard_normal(9)).astype(np.float32).reshape(4, 3, 3, 3)
    mixed = normal(6, 6)
    mixed[0] *= np.float32(1e-38)
    mixed[1] *= np.float32(1e30)
    one_large = np.zeros((3, 4, 3, 3), np.float32)
    one_large[1, 2, 0, 1] = -5
    return {
        "normal": normal(32, 16),
        "depthwise": normal(64, 1),
        "one output channel": normal(1, 12),
        "one filter": normal(1, 1),
        "two filters": normal(2, 1),
        "three filters": normal(3, 1),
        "all zero": np.zeros((4, 3, 3, 3), np.float32),
        "one zero filter": np.zeros((1, 1, 3, 3), np.float32),
        "zero filters and channels": some_zero,
        "sparse filters": with_sparse,
        "one filter not zero": one_large,
        "identical filters": np.broadcast_to(normal(1, 1), (7, 5, 3, 3)).copy(),
        "identical channels": np.broadcast_to(normal(1, 5), (7, 5, 3, 3)).copy(),
        "one direction": direction,
        "small variance on a large mean": far,
        "tiny": normal(8, 8) * np.float32(1e-38),
        "denormal": (rng.integers(-9, 10, (8, 4, 3, 3)) * np.float64(1.4e-45)).astype(np.float32),
        "huge": normal(8, 8) * np.float32(1e30),
        "near the float32 limit": np.full((3, 3, 3, 3), np.finfo(np.float32).max, np.float32)
        * normal(3, 3).clip(-1, 1),
        "all magnitudes": mixed,
    }


LAYERS = layers()


Measure = Callable[..., LayerStatistics]


@pytest.fixture(params=["torch", "compiled", "array"])
def measure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """All ways through a layer, whatever its size."""
    monkeypatch.setattr(tensors_module, "_COMPILED_ROWS", 1 if request.param == "compiled" else 1 << 40)
    if request.param == "array":
        return lambda weight, name="weight": layer_statistics(weight.detach().numpy(), name)
    return layer_statistics


@pytest.mark.parametrize("name", LAYERS)
def test_equals_the_plain_definitions(measure: Measure, name: str) -> None:
    assert_equals_reference(measure(torch.from_numpy(LAYERS[name])), LAYERS[name])


@pytest.mark.parametrize("rows", [255, 256, 257, 40_000])
def test_the_compiled_loop_equals_the_plain_definitions_around_its_block(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """40 000 filters take that way by themselves."""
    if rows < 1 << 15:
        monkeypatch.setattr(tensors_module, "_COMPILED_ROWS", 1)
    weight = np.random.default_rng(rows).standard_normal((2, rows // 2 + 1, 3, 3)).astype(np.float32) + np.float32(50)
    weight[:, ::3] *= np.float32(1e-4)  # sparse and other filters in every block
    weight[1, 1] = 0
    used, compiled = [], compiled_module.compiled

    def noted(loops: ModuleType, name: str) -> Callable[..., int]:
        used.append(name)
        return compiled(loops, name)

    monkeypatch.setattr(compiled_module, "compiled", noted)
    assert_equals_reference(layer_statistics(torch.from_numpy(weight)), weight)
    assert used == ["largest", "layer_sums"]


@pytest.mark.parametrize(("rows", "block"), [(3, 2), (7, 5), (64, 1024)])
def test_chunk_sizes_do_not_matter(measure: Measure, monkeypatch: pytest.MonkeyPatch, rows: int, block: int) -> None:
    monkeypatch.setattr(passes_module, "ROWS", rows)
    monkeypatch.setattr("distributed.statistics.quality.CHANNEL_BLOCK", block)
    monkeypatch.setattr("distributed.statistics.quality.WEIGHT_BLOCK", block + 1)
    for weight in LAYERS.values():
        assert_equals_reference(measure(torch.from_numpy(weight)), weight)


def test_other_strides_give_the_same(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.from_numpy(LAYERS["normal"])
    variants: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda w: w.to(memory_format=torch.channels_last),
        lambda w: w.repeat(2, 1, 1, 1)[::2],
        lambda w: torch.nn.Parameter(w),
    ]
    for rows in (5, 1 << 14):  # 5: fewer rows than input channels, so one output channel is cut as well
        monkeypatch.setattr(passes_module, "ROWS", rows)
        for variant in variants:
            moved = variant(weight)
            assert_equals_reference(measure(moved), moved.detach().contiguous().numpy())


@pytest.mark.parametrize("filters", [1, 12])
def test_all_filters_of_an_all_zero_layer_are_sparse(measure: Measure, filters: int) -> None:
    found = measure(torch.zeros(filters, 1, 3, 3))
    assert (found.sparsity, found.variance_entropy, found.variance_entropy_clean, found.max_abs) == (1, 0, None, 0)
    smallest = torch.zeros(filters, 1, 3, 3)
    smallest[0, 0, 0, 0] = 1e-45  # the smallest float32 there is: the layer is not zero, its other filters are sparse
    assert measure(smallest).sparsity == 1 - 1 / filters


def test_known_values(measure: Measure) -> None:
    """By hand: four orthogonal channels of one weight each, one of them tiny."""
    weight = torch.zeros(4, 1, 3, 3)
    for channel, value in enumerate((2.0, -1.0, 1.0, 0.001)):
        weight[channel, 0].view(-1)[channel] = value
    found = measure(weight)
    assert found.orthogonality == 1.0
    assert found.sparsity == 0.25
    assert found.max_abs == 2.0
    assert found.norm_mean == pytest.approx(4.001 / 4)
    assert found.scaled_sum.tolist() == [1, -1, 1, 1, 0, 0, 0, 0, 0]
    assert found.scaled_gram.sum() == 4
    # Three clean one-hot filters: rank 2.
    assert found.variance_entropy_clean is not None
    assert 0 < found.variance_entropy_clean < np.log10(2)


def test_no_variance_is_exactly_zero_entropy(measure: Measure) -> None:
    weight = torch.full((300, 7, 3, 3), 0.1)
    weight[..., 1, 1] = -0.7
    found = measure(weight)
    assert found.variance_entropy == 0.0
    assert found.norm_std == pytest.approx(0, abs=1e-15)


def test_fields_are_columns_of_the_schema() -> None:
    assert {f.name for f in dataclasses.fields(LayerStatistics)} <= set(LAYERS_SCHEMA.names)
    found = layer_statistics(torch.ones(2, 2, 3, 3))
    assert found.scaled_sum.shape == (9,)
    assert found.scaled_gram.shape == (45,)
    assert found.scaled_sum.dtype == found.scaled_gram.dtype == np.float64
    assert pickle.loads(pickle.dumps(found)).norm_mean == found.norm_mean


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("rows", [4, 1 << 14])
def test_non_finite_weights_name_the_tensor_the_number_and_the_first(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, value: float, rows: int
) -> None:
    monkeypatch.setattr(passes_module, "ROWS", rows)
    weight = torch.randn(4, 5, 3, 3)
    weight[1, 2, 0, 1] = value
    weight[3, 0, 2, 2] = float("nan")
    for moved in (weight, weight.to(memory_format=torch.channels_last)):
        with pytest.raises(UnextractableError) as caught:
            measure(moved, "stem.conv.weight")
        assert caught.value.reason is SkipReason.NON_FINITE
        assert caught.value.place.tensor == "stem.conv.weight"
        assert f"2 of 180 weights are NaN or infinite, the first at (1, 2, 0, 1): {value}" in str(caught.value)


@pytest.mark.parametrize(
    "weight",
    [torch.zeros(2, 2, 5, 5), torch.zeros(2, 9), torch.zeros(0, 2, 3, 3), torch.zeros(2, 2, 3, 3, dtype=torch.float16)],
)
def test_other_shapes_and_types_are_refused(weight: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"conv: expected"):
        layer_statistics(weight, "conv")


weights = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 6), st.just(3), st.just(3)),
    elements=st.one_of(
        st.just(0.0), st.floats(-1e3, 1e3, width=32), st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
)


@given(weight=weights, rows=st.integers(1, 80), compiled=st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_partition_of_the_rows_gives_the_same(weight: np.ndarray, rows: int, compiled: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors_module, "_COMPILED_ROWS", 1 if compiled else 1 << 40)
        whole = layer_statistics(torch.from_numpy(weight))
        patch.setattr(passes_module, "ROWS", rows)
        # Cut into pieces by its strides as well: the compiled loops take a contiguous layer in one piece.
        strided = torch.empty(2 * len(weight), *weight.shape[1:])[::2]
        parts = layer_statistics(strided.copy_(torch.from_numpy(weight)))
    n = whole.num_filters
    np.testing.assert_allclose(parts.scaled_sum, whole.scaled_sum, rtol=1e-12, atol=1e-12 * n)
    np.testing.assert_allclose(parts.scaled_gram, whole.scaled_gram, rtol=1e-12, atol=1e-12 * n)
    np.testing.assert_allclose(parts.norm_mean, whole.norm_mean, rtol=1e-12)
    np.testing.assert_allclose(parts.norm_std, whole.norm_std, rtol=1e-9, atol=1e-12 * whole.norm_mean)
    np.testing.assert_allclose(parts.variance_entropy, whole.variance_entropy, rtol=1e-12, atol=1e-12)
    for name in ("sparsity", "max_abs", "num_filters", "digest"):
        assert getattr(parts, name) == getattr(whole, name)
    np.testing.assert_array_equal(parts.weight_sketch, whole.weight_sketch)


@given(weight=weights.filter(lambda w: 1e-20 < np.abs(w).max() < 1e20), exponent=st.integers(-20, 20))
@settings(max_examples=60, deadline=None)
def test_the_scale_of_a_layer_does_not_matter(weight: np.ndarray, exponent: int) -> None:
    # Powers of two scale floats exactly as long as nothing becomes denormal.
    weight = np.where(np.abs(weight) < 1e-25, 0, weight).astype(np.float32)
    here = layer_statistics(torch.from_numpy(weight))
    there = layer_statistics(torch.from_numpy(np.ldexp(weight, exponent).astype(np.float32)))
    np.testing.assert_array_equal(here.scaled_sum, there.scaled_sum)
    np.testing.assert_array_equal(here.scaled_gram, there.scaled_gram)
    assert here.sparsity == there.sparsity
    for name in ("variance_entropy", "variance_entropy_normalized", "variance_entropy_clean", "orthogonality"):
        a, b = getattr(here, name), getattr(there, name)
        assert (a is None) == (b is None), name
        assert a is None or abs(a - b) < 1e-12, name
    np.testing.assert_allclose(there.norm_mean, np.ldexp(here.norm_mean, exponent), rtol=1e-14)


BIG_LAYER = """
import resource, torch
torch.set_num_threads(1)
from distributed.statistics import layer_statistics
layer_statistics(torch.ones(8, 8, 3, 3))
layer_statistics(torch.ones(256, 128, 3, 3))  # loads the compiled loops
weight = torch.rand({out}, {inside}, 3, 3)
if {strided}:
    weight = torch.rand({inside}, {out}, 3, 3).transpose(0, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layer_statistics(weight)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == 0, reason="no memory figures here")
@pytest.mark.parametrize(("out", "inside", "strided"), [(4, 500_000, False), (16_384, 4, False), (64, 16_384, True)])
def test_extra_memory_is_bounded(out: int, inside: int, strided: bool) -> None:
    """Layers of 72 MB, with many inputs or outputs ((16384, 16384) float64 would be 2 GiB): peak in a fresh process."""
    code = BIG_LAYER.format(out=out, inside=inside, strided=strided)
    extra = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert extra < 64, f"{extra} MiB beyond the layer itself"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", LAYERS)
def test_the_gpu_gives_the_same_as_the_cpu(name: str) -> None:
    assert_equals_reference(layer_statistics(torch.from_numpy(LAYERS[name]).cuda()), LAYERS[name])
