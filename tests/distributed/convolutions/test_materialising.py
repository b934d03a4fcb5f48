"""Weights as the live module has them, bit for bit, however the checkpoint stores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from distributed.convolutions import Convolution, WeightForm, find_convolutions
from distributed.formats import open_checkpoint
from distributed.local_files import LocalFile
from tests.distributed.convolutions.helpers import conv, entries, entries_of, find, graph_of, old_weight_norm
from tests.tensors import is_fixed, materialise

REPARAMETRISED: dict[str, tuple[WeightForm, Callable[[], nn.Module]]] = {
    "weight_norm": (WeightForm.WEIGHT_NORM, lambda: old_weight_norm(conv())),
    "weight_norm dim 1": (WeightForm.WEIGHT_NORM, lambda: old_weight_norm(conv(), dim=1)),
    "weight_norm of all": (WeightForm.WEIGHT_NORM, lambda: old_weight_norm(conv(), dim=None)),
    "weight_norm float64": (WeightForm.WEIGHT_NORM, lambda: old_weight_norm(conv(torch.float64))),
    "weight_norm bfloat16": (WeightForm.WEIGHT_NORM, lambda: old_weight_norm(conv(torch.bfloat16))),
    "weight_norm one output": (WeightForm.WEIGHT_NORM, lambda: old_weight_norm(nn.Conv2d(4, 1, 3))),
    "parametrized weight_norm": (WeightForm.WEIGHT_NORM, lambda: parametrizations.weight_norm(conv())),
    "spectral_norm": (WeightForm.SPECTRAL_NORM, lambda: nn.utils.spectral_norm(conv())),
    "spectral_norm square": (WeightForm.SPECTRAL_NORM, lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 3))),
    "spectral_norm dim 1": (WeightForm.SPECTRAL_NORM, lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 3), dim=1)),
    "parametrized spectral_norm": (WeightForm.SPECTRAL_NORM, lambda: parametrizations.spectral_norm(conv())),
    "pruned": (WeightForm.PRUNED, lambda: prune.l1_unstructured(conv(), "weight", amount=0.4)),
    "pruned float16": (WeightForm.PRUNED, lambda: prune.random_unstructured(conv(torch.float16), "weight", amount=3)),
}


@pytest.mark.parametrize("case", REPARAMETRISED)
@pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
def test_reparametrised_weights_equal_the_live_module_bit_for_bit(case: str, trained: bool) -> None:
    torch.manual_seed(0)
    form, build = REPARAMETRISED[case]
    module = build()
    channels, dtype = module.in_channels, next(module.parameters()).dtype
    if trained:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            module(torch.randn(2, channels, 6, 6, dtype=dtype)).square().mean().backward()
            optimizer.step()
    elif "dim 1" in case and form is WeightForm.SPECTRAL_NORM:
        module(torch.randn(2, channels, 6, 6))  # which dimension is meant shows after one power iteration
    module.eval()
    with torch.no_grad():
        module(torch.randn(1, channels, 6, 6, dtype=dtype))  # old-style hooks compute .weight in forward
    state = {f"layer.{name}": tensor for name, tensor in module.state_dict().items()}
    (found,) = find(state).convolutions
    assert found.name == "layer.weight"
    assert found.form is form
    got = materialise(found, {part: state[part] for part in found.parts})
    live = module.weight.detach()
    assert found.shape == tuple(live.shape)
    assert found.dtype == str(dtype).removeprefix("torch.")
    assert got.dtype is torch.float32
    assert got.is_contiguous()
    assert torch.equal(got, live.to(torch.float32))


def test_reparametrised_weights_are_found_in_a_graph_under_either_name() -> None:
    state = old_weight_norm(nn.Conv2d(4, 6, 3, groups=2)).state_dict()
    for name in ("weight", "weight_v"):
        plan = find_convolutions(entries_of(state), graph_of(**{name: (0, 2)}), order_known=True)
        (found,) = plan.convolutions
        assert (found.name, found.parts, found.groups) == (name, ("weight_g", "weight_v"), 2)


def test_an_unknown_parametrization_is_left_out_with_a_note() -> None:
    state = parametrizations.orthogonal(nn.Conv2d(3, 4, 3)).state_dict()
    plan = find(state)
    assert plan.convolutions == ()
    assert plan.notes == ("left out weight: its parametrization is not known",)
    lone = find(entries(conv__weight_orig=(4, 3, 3, 3)))
    assert lone.convolutions == ()
    assert "parametrization is not known" in lone.notes[0]


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_floating_types_become_float32(dtype: torch.dtype) -> None:
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64).to(dtype)
    (found,) = find({"conv.weight": weight}).convolutions
    got = materialise(found, {"conv.weight": weight})
    assert got.dtype is torch.float32
    if dtype is not torch.float64:  # exact: nothing is lost on the way up
        assert torch.equal(got.to(torch.float64), weight.to(torch.float64))
    else:
        assert torch.equal(got, weight.float())


def test_a_tensor_that_changed_since_planning_is_refused() -> None:
    planned = Convolution("a", (4, 3, 3, 3), "float32", ("a",))
    with pytest.raises(ValueError, match=r"a: expected shape \[4, 3, 3, 3\], found \[4, 3, 1, 1\]"):
        materialise(planned, {"a": torch.ones(4, 3, 1, 1)})


#: file → 3x3 filters as published, and the few plain lines that read its state dict.
REAL: dict[str, tuple[int, Callable[[Path], Mapping[str, Tensor]]]] = {
    "resnet20-12fca82f.th": (29_744, lambda p: load(p)["state_dict"]),
    "resnet32-d509ac18.th": (51_248, lambda p: load(p)["state_dict"]),
    "resnet44-014dd654.th": (72_752, lambda p: load(p)["state_dict"]),
    "version-RFB-320.pth": (7_872, lambda p: load(p)),
    "carn_m.pth": (28_032, lambda p: load(p)),
    "lwnet_wnet_drive.pth": (6_584, lambda p: load(p)["model_state_dict"]),
    "deepcr_mask_ACS-WFC-F435W.pth": (10_272, lambda p: load(p)),
    "deepcr_mask_ACS-WFC-F606W.pth": (10_272, lambda p: load(p)),
    "MiniFASNetV2.pth": (1_312, lambda p: load(p)),
}


def load(path: Path) -> dict[str, dict[str, Tensor]]:
    return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", REAL)
def test_real_checkpoints_give_their_filters_bit_for_bit(checkpoints: Path, file: str) -> None:
    count, read = REAL[file]
    path = checkpoints / file
    expected = [t for t in read(path).values() if t.ndim == 4 and t.shape[2:] == (3, 3)]
    assert sum(t.shape[0] * t.shape[1] for t in expected) == count
    with open_checkpoint([LocalFile(path, file)]) as checkpoint:
        assert checkpoint.order_known
        plan = find_convolutions(checkpoint.entries, checkpoint.graph, order_known=checkpoint.order_known)
        layers = [c for c in plan.convolutions if c.shape[2:] == (3, 3)]
        assert plan.kernel_shapes["3x3"] == count
        assert not any(name.name.startswith(("module.", "state_dict")) for name in layers)
        found = [materialise(c, dict(checkpoint.read(c.parts))) for c in layers]
        assert ("optimizer_state_dict" in " ".join(checkpoint.notes)) == (file == "lwnet_wnet_drive.pth")
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not any(is_fixed(weight) for weight in found)
