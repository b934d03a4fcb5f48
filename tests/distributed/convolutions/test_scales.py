"""Weights with a scale beside them: times it where its meaning is certain, left out where it is not, never bare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distributed.convolutions import ConvolutionPlan, UncertainWeightError, WeightForm, find_convolutions
from distributed.formats import TensorEntry, open_checkpoint
from distributed.local_files import LocalFile
from tests.tensors import materialise

EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
SHAPE = (8, 4, 3, 3)


def plan_of(state: Mapping[str, Tensor], **options: bool) -> ConvolutionPlan:
    entries = [TensorEntry(name, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in state.items()]
    return find_convolutions(entries, None, order_known=True, **options)


def one(state: Mapping[str, Tensor], **options: bool) -> Tensor:
    (found,) = plan_of(state, **options).convolutions
    return materialise(found, state)


def eight_bits(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Numbers of 8 bits and the scale that makes weights of them."""
    weight = torch.randn(SHAPE) * 0.05
    limit = torch.finfo(dtype).max if dtype.is_floating_point else torch.iinfo(dtype).max
    scale = weight.abs().max() / limit
    return (weight / scale).to(dtype), scale


@pytest.mark.parametrize("name", ["scale_weight", "weight_scale", "weight_scale_inv"])
@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
@pytest.mark.parametrize("shape", ["scalar", "one", "per output", "per output, 4-D", "per input, 4-D"])
def test_8_bit_floats_times_their_scale(name: str, dtype: torch.dtype, shape: str) -> None:
    torch.manual_seed(2)
    numbers, scale = eight_bits(dtype)
    out, inner = SHAPE[:2]
    full = {
        "scalar": scale.reshape(()),
        "one": scale.reshape(1),
        "per output": scale * torch.rand(out),
        "per output, 4-D": scale * torch.rand(out, 1, 1, 1),
        "per input, 4-D": scale * torch.rand(1, inner, 1, 1),
    }[shape]
    state = {f"conv.{name}": full, "conv.weight": numbers, "conv.bias": torch.zeros(out), "conv.input_scale": scale}
    spread = full.reshape(out, 1, 1, 1) if shape == "per output" else full
    plan = plan_of(state)
    assert torch.equal(one(state), numbers.float() * spread)
    assert plan.convolutions[0].dtype == str(dtype).removeprefix("torch.")
    assert plan.convolutions[0].form is WeightForm.SCALED
    assert plan.notes == (f"took conv.weight: {plan.convolutions[0].dtype} times the scale beside it",)
    assert plan.num_parameters == numbers.numel() + out


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_the_scale_may_be_of_half_precision(stored: torch.dtype) -> None:
    numbers, scale = eight_bits(torch.float8_e4m3fn)
    state = {"conv.weight": numbers, "conv.weight_scale": scale.to(stored)}
    assert torch.equal(one(state), numbers.float() * scale.to(stored).float())


def test_without_a_scale_8_bit_floats_are_what_they_are() -> None:
    numbers, _ = eight_bits(torch.float8_e4m3fn)
    state = {
        "conv.weight": numbers,
        "conv.bias": torch.zeros(8),
        "scaled_fp8": torch.zeros(2),
        "norm.scale": torch.ones(8),
    }
    assert torch.equal(one(state), numbers.float())
    assert plan_of(state).notes == ()


@pytest.mark.parametrize(
    ("sibling", "value", "note"),
    [
        ("conv.weight_scale", torch.ones(3), "conv.weight_scale [3] does not fit its shape [8, 4, 3, 3]"),
        ("conv.weight_scale", torch.ones(2, 2, 1, 1), "conv.weight_scale [2, 2, 1, 1] does not fit its shape"),
        ("conv.weight_scale", torch.ones(8, dtype=torch.int32), "its scale conv.weight_scale is of int32"),
        ("conv.scale", torch.ones(1), "quantised (float8_e4m3fn), and how conv.scale scales it is not known"),
        ("conv.weight_absmax", torch.ones(1), "how conv.weight_absmax scales it is not known"),
        ("conv.SCB", torch.ones(8), "how conv.SCB scales it is not known"),
        ("conv.weight_quant_state", torch.ones(1), "how conv.weight_quant_state scales it is not known"),
    ],
)
def test_a_scale_that_is_not_understood_leaves_the_weight_out(sibling: str, value: Tensor, note: str) -> None:
    numbers, _ = eight_bits(torch.float8_e4m3fn)
    plan = plan_of({"conv.weight": numbers, sibling: value, "next.weight": torch.randn(SHAPE)})
    assert [c.name for c in plan.convolutions] == ["next.weight"]
    assert any(each.startswith("left out conv.weight: ") and note in each for each in plan.notes)


def test_a_scale_beside_other_floats_leaves_the_weight_out() -> None:
    plan = plan_of({"conv.weight": torch.randn(SHAPE), "conv.weight_scale": torch.ones(1)})
    assert plan.convolutions == ()
    assert plan.notes == ("left out conv.weight: what conv.weight_scale does to it, a float32 weight, is not known",)


def test_a_scale_above_one_is_to_divide_by_or_something_else() -> None:
    numbers, scale = eight_bits(torch.float8_e4m3fn)
    with pytest.raises(UncertainWeightError, match="above 1"):
        one({"conv.weight": numbers, "conv.weight_scale_inv": 1 / scale})
    with pytest.raises(UncertainWeightError, match="above 1"):
        one({"conv.weight": numbers, "conv.weight_scale_inv": scale * torch.nan})


class TestIntegers:
    @pytest.mark.parametrize("zero_point", [None, torch.int8, torch.int32])
    def test_taken_when_asked_for(self, zero_point: torch.dtype | None) -> None:
        numbers, scale = eight_bits(torch.int8)
        zeros = torch.arange(8) - 4
        state = {"conv.weight": numbers, "conv.weight_scale": scale.repeat(8)}
        expected = numbers.float()
        if zero_point is not None:
            state["conv.weight_zero_point"] = zeros.to(zero_point)
            expected = expected - zeros.reshape(8, 1, 1, 1)
        assert torch.equal(one(state, include_quantised=True), expected * scale)
        plan = plan_of(state, include_quantised=True)
        assert plan.notes == ("took conv.weight: dequantised (int8), not the weights that were trained",)
        assert plan_of(state).convolutions == ()
        assert plan_of(state).notes == (
            "left out conv.weight: quantised (int8); extract.quantised=true takes what the integers stand for",
        )

    @pytest.mark.parametrize("asked", [False, True])
    def test_never_without_their_scale(self, asked: bool) -> None:
        numbers, scale = eight_bits(torch.int8)
        for beside in ({}, {"conv.scale": scale}, {"conv.SCB": scale}):
            plan = plan_of({"conv.weight": numbers, **beside}, include_quantised=asked)
            assert plan.convolutions == ()
            assert "quantised" in plan.notes[0]

    def test_tensors_that_torch_quantised_know_their_own(self) -> None:
        weight = torch.randn(SHAPE)
        quantised = torch.quantize_per_channel(weight, torch.rand(8).double() + 0.01, torch.arange(8), 0, torch.qint8)
        assert torch.equal(one({"conv.weight": quantised}, include_quantised=True), quantised.dequantize())
        assert plan_of({"conv.weight": quantised}).convolutions == ()


class FormerSpectralNorm(nn.Module):
    """As implementations from before torch's own did it: the module's weight is made anew at every call."""

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__()
        self.module = module
        weight = module.weight.detach().clone()
        del module.weight
        module.weight_bar = nn.Parameter(weight)
        module.weight_u = nn.Parameter(torch.randn(weight.shape[0]), requires_grad=False)
        module.weight_v = nn.Parameter(torch.randn(weight[0].numel()), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        module = self.module
        matrix = module.weight_bar.reshape(module.weight_bar.shape[0], -1)
        with torch.no_grad():
            module.weight_v.copy_(nn.functional.normalize(matrix.T @ module.weight_u, dim=0))
            module.weight_u.copy_(nn.functional.normalize(matrix @ module.weight_v, dim=0))
        self.live = module.weight_bar / torch.dot(module.weight_u, matrix @ module.weight_v)
        return nn.functional.conv2d(image, self.live)


def test_weight_bar_is_divided_by_its_norm() -> None:
    torch.manual_seed(4)
    module = FormerSpectralNorm(nn.Conv2d(4, 8, 3, bias=False))
    for _ in range(3):
        module(torch.randn(1, 4, 8, 8))
    state = module.state_dict()
    assert set(state) == {"module.weight_bar", "module.weight_u", "module.weight_v"}
    plan = plan_of(state)
    (found,) = plan.convolutions
    assert (found.name, found.form) == ("module.weight", WeightForm.SPECTRAL_NORM)
    assert torch.equal(materialise(found, state), module.live.detach())
    assert plan.num_parameters == 8 * 4 * 9
    alone = plan_of({"conv.weight_bar": state["module.weight_bar"]})
    assert alone.convolutions == ()
    assert "parametrization is not known" in alone.notes[0]


def settled(matrix: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Left vector (1, out) and singular value (1,) after so many steps of the power iteration, as BigGAN keeps them."""
    u = torch.randn(1, matrix.shape[0])
    for _ in range(steps):
        v = nn.functional.normalize(u @ matrix)
        u = nn.functional.normalize(v @ matrix.T)
    return u, (v @ matrix.T @ u.T).reshape(1)


@pytest.mark.parametrize("names", [("u0", "sv0"), ("sn_u", "sn_sigma")])
class TestIterated:
    def test_a_settled_norm_divides(self, names: tuple[str, str]) -> None:
        torch.manual_seed(6)
        weight = torch.randn(SHAPE)
        vector, value = settled(weight.reshape(8, -1), 500)
        state = {"conv.weight": weight, f"conv.{names[0]}": vector, f"conv.{names[1]}": value}
        found = one(state)
        assert torch.allclose(found, weight / value, rtol=2e-6, atol=0)
        assert torch.allclose(torch.linalg.matrix_norm(found.reshape(8, -1), 2), torch.tensor(1.0), rtol=1e-5)
        assert plan_of(state).num_parameters == weight.numel()

    def test_one_that_is_not_settled_leaves_the_weight_out(self, names: tuple[str, str]) -> None:
        weight = torch.randn(SHAPE)
        vector, value = settled(weight.reshape(8, -1), 2)
        for left, stored in ((vector, value), (vector, torch.rand(1)), (torch.zeros(1, 8), torch.zeros(1))):
            state = {"conv.weight": weight, f"conv.{names[0]}": left, f"conv.{names[1]}": stored}
            with pytest.raises(UncertainWeightError, match="its spectral norm is not settled"):
                one(state)


@pytest.mark.parametrize("vector", ["u", "u0", "sn_u", "weight_u"])
def test_a_vector_alone_leaves_the_weight_out(vector: str) -> None:
    plan = plan_of({"conv.weight": torch.randn(SHAPE), f"conv.{vector}": torch.randn(1, 8)})
    assert plan.convolutions == ()
    assert plan.notes == (
        f"left out conv.weight: conv.{vector} lies beside it: a spectral norm whose formula is not known",
    )


def test_the_quotient_that_torch_once_stored_as_well_speaks_for_itself() -> None:
    state = {name: torch.randn(SHAPE) for name in ("conv.weight", "conv.weight_orig")} | {
        "conv.weight_u": torch.randn(8)
    }
    found = {c.name: materialise(c, state) for c in plan_of(state).convolutions}
    assert found.keys() == {"conv.weight"}
    assert torch.equal(found["conv.weight"], state["conv.weight"])


@pytest.mark.parametrize(
    ("dtype", "reference"),
    [
        (torch.float16, np.float16),
        (torch.bfloat16, ml_dtypes.bfloat16),
        (torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn),
        (torch.float8_e5m2, ml_dtypes.float8_e5m2),
        (torch.float8_e4m3fnuz, ml_dtypes.float8_e4m3fnuz),
        (torch.float8_e5m2fnuz, ml_dtypes.float8_e5m2fnuz),
        (torch.float8_e8m0fnu, ml_dtypes.float8_e8m0fnu),
    ],
    ids=str,
)
def test_every_bit_pattern_of_half_and_quarter_precision_is_read_exactly(
    tmp_path: Path, dtype: torch.dtype, reference: type
) -> None:
    """Subnormals, signed zeros and what is not finite included; ml_dtypes and NumPy say what each pattern means."""
    bits = np.arange(2 ** (8 * dtype.itemsize), dtype=np.uint16 if dtype.itemsize == 2 else np.uint8)
    padded = np.resize(bits, -(-bits.size // 9) * 9)
    stored = torch.from_numpy(padded.copy()).view(dtype).reshape(-1, 1, 3, 3)
    save_file({"conv.weight": stored}, tmp_path / "m.safetensors")
    with open_checkpoint([LocalFile(tmp_path / "m.safetensors", "m.safetensors")]) as checkpoint:
        found = one(dict(checkpoint.read(["conv.weight"])))
    expected = padded.view(reference).astype(np.float32).reshape(-1, 1, 3, 3)
    finite = np.isfinite(expected)
    assert np.array_equal(found.numpy()[finite].view(np.uint32), expected[finite].view(np.uint32))
    assert np.array_equal(np.isnan(found.numpy()), np.isnan(expected))
