"""Which tensors are learned 2-D convolutions, and what is said of the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from distributed.convolutions import find_convolutions
from distributed.formats import TensorEntry
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts
from tests.distributed.convolutions.helpers import conv, entries, entries_of, find, graph_of, old_weight_norm
from tests.tensors import materialise


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
        "took blur.kernel for convolution weights by their shape; their names do not say so",
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
