from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from distributed.bytes import LocalFile
from distributed.convolutions import (
    Convolution,
    ConvolutionPlan,
    WeightForm,
    find_convolutions,
    is_fixed,
    materialise,
)
from distributed.formats import TensorEntry, open_checkpoint
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts


def entries_of(state: Mapping[str, Tensor]) -> list[TensorEntry]:
    return [TensorEntry(k, tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in state.items()]


def entries(**shapes: tuple[int, ...]) -> list[TensorEntry]:
    return [TensorEntry(name.replace("__", "."), shape, "float32") for name, shape in shapes.items()]


def find(what: Mapping[str, Tensor] | list[TensorEntry], **options: bool) -> ConvolutionPlan:
    listed = what if isinstance(what, list) else entries_of(what)
    return find_convolutions(listed, None, order_known=True, **options)


def graph_of(**convolutions: tuple[int, int] | tuple[int, int, bool]) -> GraphFacts:
    facts = {name.replace("__", "."): ConvolutionFacts(*values) for name, values in convolutions.items()}
    return GraphFacts(DepthMethod.TRACED, facts, {})


def old_weight_norm(module: nn.Module, **options: int | None) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module, **options)  # type: ignore[arg-type]


def conv(dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Conv2d(6, 5, 3).to(dtype)


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


def test_what_is_no_plain_weight_has_its_note() -> None:
    listed = [
        TensorEntry("a.weight", (4, 3, 3, 3), "int8"),
        TensorEntry("b.weight", (0, 3, 3, 3), "float32"),
        TensorEntry("c.weight", (4, 3, 3, 3, 3), "float32"),
        TensorEntry("rel_pos_table", (1, 8, 7, 7), "float32"),
        TensorEntry("blur.kernel", (8, 1, 3, 3), "float32"),
        TensorEntry("blur.taps", (8, 1, 3, 3), "float32"),
        TensorEntry("edge.sobel_x.weight", (1, 1, 3, 3), "float32"),
        TensorEntry("experts.weight", (4, 864), "float32"),
        TensorEntry("conv1d.weight", (4, 3, 3), "float32"),
        TensorEntry("norm.weight", (1, 8, 1, 1), "float32"),
        TensorEntry("d.weight", (4, 3, 3, 3), "float32"),
    ]
    plan = find(listed)
    # Whether kernels that are called so are fixed is for their values to say.
    assert [c.name for c in plan.convolutions] == ["blur.kernel", "edge.sobel_x.weight", "d.weight"]
    assert plan.notes == (
        "left out a.weight: quantised or not floating point (int8)",
        "left out b.weight: zero-size tensor [0, 3, 3, 3]",
        "left out c.weight: a 3-D convolution or a stack of experts (5-D weight)",
        "left out rel_pos_table: 4-D, but not named like a weight",
        "left out blur.taps: named like a fixed kernel and not like a weight",
    )


@pytest.mark.parametrize("name", ["deblur.conv.weight", "kernel_net.weight", "filters.0.weight", "kernel.conv.weight"])
def test_learned_layers_named_alike_stay(name: str) -> None:
    assert [c.name for c in find([TensorEntry(name, (4, 3, 3, 3), "float32")]).convolutions] == [name]


def test_kernel_counts_and_parameters() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 2, (5, 3)))
    old = nn.utils.spectral_norm(nn.Conv2d(2, 2, 3))
    state = {**model.state_dict(), **{f"s.{k}": v for k, v in old.state_dict().items()}}
    plan = find(state)
    assert plan.kernel_shapes == {"3x3": 24 + 4, "1x1": 128, "5x3": 32}
    assert plan.total_filters == 60
    assert plan.num_parameters == sum(p.numel() for m in (model, old) for p in m.parameters())
    for module in (
        old_weight_norm(conv()),
        parametrizations.spectral_norm(conv()),
        parametrizations.weight_norm(conv()),
    ):
        assert find(module.state_dict()).num_parameters == sum(p.numel() for p in module.parameters())


class TestTransposed:
    def test_evidence_without_a_graph(self) -> None:
        listed = entries(
            up__weight=(8, 4, 2, 2), up__bias=(4,), same__weight=(8, 8, 3, 3), same__bias=(8,),
            deconv1__weight=(8, 8, 4, 4), upconv__weight=(8, 4, 3, 3), upconv__bias=(8,),
            conv_transpose__weight=(8, 4, 3, 3), conv_transpose__bias=(8,), transition__conv__weight=(8, 4, 3, 3),
        )  # fmt: skip
        plan = find(listed)
        told = {c.name: c.is_transposed for c in plan.convolutions}
        assert told == {
            "same.weight": None,
            "upconv.weight": False,
            "conv_transpose.weight": False,  # the bias is stronger than the name
            "transition.conv.weight": None,
        }
        assert plan.notes[0].startswith("left out up.weight, deconv1.weight: a transposed convolution")
        asked = {c.name: c for c in find(listed, include_transposed=True).convolutions}
        assert asked["up.weight"].shape == (4, 8, 2, 2)
        assert asked["up.weight"].is_transposed is True

    @pytest.mark.parametrize("groups", [1, 2, 4])
    def test_rows_are_output_channels(self, groups: int) -> None:
        module = nn.ConvTranspose2d(8, 12, 3, groups=groups, bias=False)
        state = {"up.weight": module.weight.detach()}
        graph = graph_of(up__weight=(0, groups, True))
        assert find_convolutions(entries_of(state), graph, order_known=True).convolutions == ()
        plan = find_convolutions(entries_of(state), graph, order_known=True, include_transposed=True)
        (found,) = plan.convolutions
        assert found.shape == (12, 8 // groups, 3, 3)
        got = materialise(found, state)
        # One impulse per input channel: output channel o answers with the kernel of its row.
        for channel in range(8):
            image = torch.zeros(1, 8, 1, 1)
            image[0, channel] = 1
            answer = module(image).detach()[0]
            group = channel // (8 // groups)
            rows = slice(group * 12 // groups, (group + 1) * 12 // groups)
            assert torch.equal(answer[rows], got[rows, channel % (8 // groups)])


class TestGraph:
    LISTED = entries(
        stem__weight=(8, 3, 3, 3),
        dw__weight=(8, 1, 3, 3),
        pos=(1, 8, 7, 7),
        grey__weight=(4, 1, 3, 3),
        gamma=(1, 8, 1, 1),
    )

    def test_facts_reach_the_plan(self) -> None:
        graph = graph_of(stem__weight=(0, 1), dw__weight=(1, 8), grey__weight=(0, 1), gone__weight=(2, 1))
        plan = find_convolutions(self.LISTED, graph, order_known=True)
        assert [(c.name, c.groups, c.is_depthwise, c.is_transposed) for c in plan.convolutions] == [
            ("stem.weight", 1, False, False),
            ("dw.weight", 8, True, False),
            ("grey.weight", 1, False, False),
        ]
        assert plan.notes == (
            "left out pos: 4-D, but no convolution of the graph uses it as weight",
            "left out gone.weight: a convolution of the graph, but the checkpoint has no such weight",
        )
        assert plan.num_parameters == 216 + 72 + 392 + 36 + 8

    def test_without_it_nothing_is_claimed(self) -> None:
        plan = find(self.LISTED)
        told = [(c.name, c.groups, c.is_depthwise) for c in plan.convolutions]
        assert told == [("stem.weight", None, False), ("dw.weight", None, None), ("grey.weight", None, None)]

    def test_a_graph_of_another_model_is_refused(self) -> None:
        graph = graph_of(stem__weight=(0, 1), a=(1, 1), b=(2, 1))
        with pytest.raises(ValueError, match="only 1 of its 3 convolution weights"):
            find_convolutions(self.LISTED, graph, order_known=True)

    def test_mixture_weights_are_not_misread(self) -> None:
        graph = graph_of(stem__weight=(0, 1), experts__weight=(1, 1))
        plan = find_convolutions(entries(stem__weight=(8, 3, 3, 3), experts__weight=(4, 864)), graph, order_known=True)
        assert [c.name for c in plan.convolutions] == ["stem.weight"]
        assert plan.notes == ("left out experts.weight: a 2-D tensor, not a plain 2-D convolution weight",)


def test_order_of_entries_or_natural_order() -> None:
    listed = entries(conv10__weight=(1, 1, 3, 3), conv9__weight=(1, 1, 3, 3))
    assert next(c.name for c in find_convolutions(listed, None, order_known=True).convolutions) == "conv10.weight"
    assert next(c.name for c in find_convolutions(listed, None, order_known=False).convolutions) == "conv9.weight"


def test_a_tensor_that_changed_since_planning_is_refused() -> None:
    planned = Convolution("a", (4, 3, 3, 3), "float32", ("a",))
    with pytest.raises(ValueError, match=r"a: expected shape \[4, 3, 3, 3\], found \[4, 3, 1, 1\]"):
        materialise(planned, {"a": torch.ones(4, 3, 1, 1)})


#: file → 3x3 filters (issue 2), and the few plain lines that read its state dict.
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


def test_a_tied_copy_counts_once() -> None:
    """As in CoaT: one module under two names, both in the checkpoint; the graph says which name is the first."""
    facts = ConvolutionFacts(depth=0, groups=1)
    graph = GraphFacts(
        DepthMethod.TRACED,
        {"stage.conv.weight": facts, "again.conv.weight": facts, "next.weight": ConvolutionFacts(1, 1)},
        {},
        aliases={"again.conv.weight": "stage.conv.weight"},
    )
    shape = (4, 3, 3, 3)
    names = ["stage.conv.weight", "again.conv.weight", "next.weight"]
    both = find_convolutions([TensorEntry(n, shape, "float32") for n in names], graph, order_known=True)
    assert [c.name for c in both.convolutions] == ["stage.conv.weight", "next.weight"]
    assert both.num_parameters == 2 * 4 * 3 * 9
    assert any("again.conv.weight" in note and "tied" in note for note in both.notes)
    # A checkpoint with only one of the names, whichever, misses nothing.
    for name in names[:2]:
        one = find_convolutions(
            [TensorEntry(n, shape, "float32") for n in (name, "next.weight")], graph, order_known=True
        )
        assert [c.name for c in one.convolutions] == [name, "next.weight"]
        assert one.notes == ()
