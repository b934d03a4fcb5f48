"""The order of a file's axes: told by header, shapes and channels; turned bit for bit; refused where nothing tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from distributed.convolutions import AxisOrderError, ConvolutionPlan, find_convolutions
from distributed.convolutions.layout import AxisOrder, order_of_file
from distributed.formats import TensorEntry, open_checkpoint
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts
from distributed.local_files import LocalFile
from tests.tensors import materialise

#: From torch's order to each other one.
PERMUTATIONS = {AxisOrder.OIHW: (0, 1, 2, 3), AxisOrder.OHWI: (0, 2, 3, 1), AxisOrder.HWIO: (2, 3, 1, 0)}

#: (out, in, kernel) of a chain of layers.
RESNET = [(64, 3, 7), (64, 64, 3), (64, 64, 3), (128, 64, 3), (128, 64, 1), (10, 128, 3)]
MOBILENET = [(32, 3, 3), (32, 1, 3), (64, 32, 1), (64, 1, 3), (128, 64, 1)]
SMALL = [(8, 3, 3), (8, 8, 3), (8, 8, 1), (12, 8, 3)]
GREY = [(16, 1, 3), (32, 16, 3)]


def weights_of(layers: Sequence[tuple[int, int, int]]) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {f"conv{i}.weight": torch.randn(out, inner, k, k) for i, (out, inner, k) in enumerate(layers)}


def kept(weights: Mapping[str, Tensor], order: AxisOrder) -> dict[str, Tensor]:
    return {name: weight.permute(PERMUTATIONS[order]).contiguous() for name, weight in weights.items()}


def plan_of(state: Mapping[str, Tensor], framework: str | None = None) -> ConvolutionPlan:
    entries = [TensorEntry(name, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in state.items()]
    return find_convolutions(entries, None, order_known=True, framework=framework)


def assert_equal(state: Mapping[str, Tensor], plan: ConvolutionPlan, expected: Mapping[str, Tensor]) -> None:
    found = {c.name: materialise(c, state) for c in plan.convolutions}
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert found[name].is_contiguous()
        assert torch.equal(found[name], weight)


@pytest.mark.parametrize("layers", [RESNET, MOBILENET, SMALL, GREY], ids=["resnet", "mobilenet", "small", "grey"])
@pytest.mark.parametrize("order", PERMUTATIONS)
@pytest.mark.parametrize("framework", [None, "pt", "right"])
def test_every_order_is_told_and_turned(
    layers: list[tuple[int, int, int]], order: AxisOrder, framework: str | None
) -> None:
    right = {AxisOrder.OIHW: "pt", AxisOrder.OHWI: "mlx", AxisOrder.HWIO: "flax"}[order]
    weights = weights_of(layers)
    state = kept(weights, order)
    plan = plan_of(state, right if framework == "right" else framework)
    assert_equal(state, plan, weights)
    assert {c.order for c in plan.convolutions} == {order}
    if order is AxisOrder.OIHW:
        assert plan.notes == ()
    else:
        assert "read as (out, in, kh, kw)" in plan.notes[0]
    assert plan.num_parameters == sum(weight.numel() for weight in weights.values())


@pytest.mark.parametrize(
    ("framework", "shapes", "order"),
    [
        ("mlx", [(64, 3, 3, 3)], AxisOrder.OHWI),  # the shapes leave it open, the header does not
        ("mlx", [(8, 3, 3, 3), (8, 8, 3, 3)], AxisOrder.OIHW),  # converted only in name
        ("tf", [(3, 3, 3, 3)], AxisOrder.HWIO),
        ("flax", [(16, 3, 3, 3), (32, 3, 3, 16)], AxisOrder.OHWI),
        ("np", [(64, 3, 3, 3)], AxisOrder.OIHW),
        (None, [(64, 3, 3, 3)], AxisOrder.OIHW),
        (None, [(3, 3, 3, 3), (3, 3, 3, 24)], AxisOrder.HWIO),  # 24 channels come from nowhere but the second layer
        (None, [(3, 3, 3, 3), (24, 3, 3, 3), (3, 3, 3, 24)], AxisOrder.OHWI),
        (None, [], AxisOrder.OIHW),
        ("mlx", [], AxisOrder.OIHW),  # nothing to turn
        # Kernels of real networks of torch's order that look odd: patches, strips, large and tall ones, EEG's.
        (None, [(768, 3, 16, 16), (768, 768, 1, 1)], AxisOrder.OIHW),
        (None, [(64, 1, 1, 7), (64, 1, 7, 1), (64, 1, 21, 1), (64, 64, 1, 1)], AxisOrder.OIHW),
        (None, [(128, 1, 31, 31), (128, 1, 5, 5)], AxisOrder.OIHW),
        (None, [(8, 1, 1, 64), (16, 1, 22, 1), (16, 1, 1, 16), (16, 16, 1, 1)], AxisOrder.OIHW),
        (None, [(100, 1, 3, 300), (100, 1, 4, 300), (100, 1, 5, 300)], AxisOrder.OIHW),  # text
        (None, [(3, 3, 3, 1), (3, 3, 1, 3), (3, 3, 5, 5), (7, 7, 3, 3)], AxisOrder.OIHW),
        (None, [(64, 64, 3, 3)] * 20 + [(16, 3, 3, 40)], AxisOrder.OIHW),  # one tensor is no weight
    ],
)
def test_what_decides(framework: str | None, shapes: list[tuple[int, ...]], order: AxisOrder) -> None:
    assert order_of_file(shapes, framework).order is order


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(8, 3, 3, 16), (8, 8, 3, 3)], "holds convolution weights in several orders of axes"),
        ([(64, 3, 3, 64), (3, 3, 64, 64), (64, 64, 3, 3)], "holds convolution weights in several orders of axes"),
        ([(16, 3, 3, 32)], "as (out, kh, kw, in), which cannot be told"),
        ([(3, 3, 3, 4)], "as (out, kh, kw, in) or (kh, kw, in, out), which cannot be told"),
    ],
)
def test_mixed_and_undecided_files_are_refused(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(AxisOrderError) as caught:
        order_of_file(shapes, None)
    assert message in str(caught.value)
    state = {f"conv{i}.weight": torch.randn(shape) for i, shape in enumerate(shapes)}
    with pytest.raises(AxisOrderError):
        plan_of(state)


def test_one_weight_of_another_order_among_many_is_left_out() -> None:
    state = {f"conv{i}.weight": torch.randn(16, 16, 3, 3) for i in range(10)} | {
        "odd.weight": torch.randn(16, 3, 3, 40)
    }
    plan = plan_of(state)
    assert_equal(state, plan, {name: weight for name, weight in state.items() if name != "odd.weight"})
    assert plan.notes == ("left out odd.weight: its axes are in another order than those of the others",)


@given(
    st.lists(st.tuples(*[st.sampled_from([1, 2, 3, 5, 7, 8, 16, 40])] * 4), max_size=6),
    st.sampled_from([None, "pt", "mlx", "tf", "flax", "np", "", "x"]),
)
def test_any_shapes_are_ordered_or_refused_the_same_whatever_their_order(
    shapes: list[tuple[int, ...]], framework: str | None
) -> None:
    def answer(listed: list[tuple[int, ...]]) -> str:
        try:
            return str(order_of_file(listed, framework))
        except AxisOrderError as error:
            return str(error)

    assert answer(shapes) == answer(shapes[::-1])


def test_shapes_that_contradict_the_header_are_said() -> None:
    state = weights_of(SMALL)
    plan = plan_of(state, "mlx")
    assert_equal(state, plan, state)
    assert plan.notes == ("the header says mlx, but the shapes of the weights are (out, in, kh, kw)",)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_safetensors_header_says_what_wrote_it(tmp_path: Path, sharded: bool) -> None:
    weights = {"conv.weight": torch.randn(64, 3, 3, 3), "conv2.weight": torch.randn(64, 3, 3, 3)}
    state = kept(weights, AxisOrder.OHWI)
    files = [dict([item]) for item in state.items()] if sharded else [state]
    sources = []
    for number, each in enumerate(files):
        save_file(each, tmp_path / f"{number}.safetensors", metadata={"format": "mlx"})
        sources.append(LocalFile(tmp_path / f"{number}.safetensors", f"{number}.safetensors"))
    with open_checkpoint(sources) as checkpoint:
        assert checkpoint.framework == "mlx"
        plan = find_convolutions(
            checkpoint.entries, None, order_known=checkpoint.order_known, framework=checkpoint.framework
        )
        assert_equal(dict(checkpoint.read(list(state))), plan, weights)


def test_names_and_depthwise_weights_of_keras_and_flax() -> None:
    torch.manual_seed(3)
    dense, flax_depthwise = torch.randn(16, 3, 3, 3), torch.randn(16, 1, 3, 3)
    keras, multiplied, named = torch.randn(16, 1, 3, 3), torch.randn(32, 1, 3, 3), torch.randn(16, 1, 3, 3)
    pointwise, dense2 = torch.randn(32, 16, 1, 1), torch.randn(32, 32, 3, 3)
    state = {
        "tf_model/conv/kernel:0": dense.permute(2, 3, 1, 0),
        "params.Conv_1.kernel": flax_depthwise.permute(2, 3, 1, 0),
        "a/depthwise_conv2d/kernel": keras.reshape(16, 1, 3, 3).permute(2, 3, 0, 1),
        "b/depthwise_kernel:0": multiplied.reshape(16, 2, 3, 3).permute(2, 3, 0, 1),
        "c/depthwise_weights": named.permute(2, 3, 0, 1),
        "d/pointwise/weights": pointwise.permute(2, 3, 1, 0),
        "params.Conv_2.kernel": dense2.permute(2, 3, 1, 0),
        "params.Dense_0.kernel": torch.randn(32, 10),
    }
    expected = [dense, flax_depthwise, keras, multiplied, named, pointwise, dense2]
    assert_equal(state, plan_of(state), dict(zip(state, expected, strict=False)))


def test_a_graph_of_torch_knows_the_layers_and_an_onnx_graph_the_order() -> None:
    weights = weights_of(SMALL)
    state = kept(weights, AxisOrder.OHWI)
    entries = [TensorEntry(name, tuple(t.shape), "float32") for name, t in state.items()]
    facts = {name: ConvolutionFacts(depth, 1) for depth, name in enumerate(state)}
    traced = find_convolutions(entries, GraphFacts(DepthMethod.TRACED, facts, {}), order_known=True, framework="mlx")
    assert_equal(state, traced, weights)
    onnx = find_convolutions(entries, GraphFacts(DepthMethod.ONNX, facts, {}), order_known=True)
    assert_equal(state, onnx, state)


def test_transposed_convolutions_of_mlx_have_their_outputs_first_and_of_keras_last_but_one() -> None:
    torch.manual_seed(8)
    plain, up = torch.randn(8, 3, 3, 3), torch.randn(16, 8, 3, 3)  # (out, in, kh, kw)
    mlx = kept({"conv.weight": plain, "deconv.weight": up, "last.weight": torch.randn(4, 16, 3, 3)}, AxisOrder.OHWI)
    entries = [TensorEntry(name, tuple(t.shape), "float32") for name, t in mlx.items()]
    entries.append(TensorEntry("deconv.bias", (16,), "float32"))
    assert [c.name for c in find_convolutions(entries, None, order_known=True).convolutions] == [
        "conv.weight",
        "last.weight",
    ]
    plan = find_convolutions(entries, None, order_known=True, include_transposed=True)
    (found,) = [c for c in plan.convolutions if c.is_transposed]
    assert torch.equal(materialise(found, mlx), up)
    keras = {
        "conv/kernel": plain.permute(2, 3, 1, 0),
        "up/kernel": up.permute(2, 3, 0, 1),  # (kh, kw, out, in)
        "up/bias": torch.zeros(16),
        "last/kernel": torch.randn(4, 16, 3, 3).permute(2, 3, 1, 0),
    }
    entries = [TensorEntry(name, tuple(t.shape), "float32") for name, t in keras.items()]
    assert [c.name for c in find_convolutions(entries, None, order_known=True).convolutions] == [
        "conv/kernel",
        "last/kernel",
    ]
    plan = find_convolutions(entries, None, order_known=True, include_transposed=True)
    (found,) = [c for c in plan.convolutions if c.is_transposed]
    assert torch.equal(materialise(found, keras), up)


class TestModulated:
    """StyleGAN2 keeps (1, out, in, kh, kw); a 3-D convolution of one output, (1, in, kd, kh, kw), looks alike."""

    def test_a_leading_one_is_no_dimension(self) -> None:
        torch.manual_seed(5)
        state = {
            "conv1.conv.weight": torch.randn(1, 16, 32, 3, 3),
            "convs.0.conv.weight": torch.randn(1, 8, 16, 3, 3),
            "to_rgb1.conv.weight": torch.randn(1, 3, 16, 1, 1),
            "d.0.weight": torch.randn(8, 3, 3, 3),
        }
        plan = plan_of(state)
        assert_equal(state, plan, {name: w[0] if w.ndim == 5 else w for name, w in state.items()})
        assert plan.notes == ()

    def test_beside_real_3d_weights_the_layer_of_the_style_tells(self) -> None:
        state = {
            "styled.conv.weight": torch.randn(1, 3, 3, 3, 3),
            "styled.conv.modulation.weight": torch.randn(3, 32),
            "video.weight": torch.randn(8, 8, 3, 3, 3),
            "video_head.weight": torch.randn(1, 8, 3, 3, 3),
            "experts.weight": torch.randn(4, 8, 8, 3, 3),
        }
        plan = plan_of(state)
        assert_equal(state, plan, {"styled.conv.weight": state["styled.conv.weight"][0]})
        assert plan.notes == (
            "left out video.weight, video_head.weight, experts.weight: a 3-D convolution or a stack of experts "
            "(5-D weight)",
        )

    @pytest.mark.parametrize("shape", [(1, 64, 3, 3, 3), (1, 16, 1, 3, 3), (1, 16, 8, 1, 3)])
    def test_what_may_as_well_be_a_3d_convolution_is_left_out(self, shape: tuple[int, ...]) -> None:
        plan = plan_of({"head.weight": torch.randn(shape), "conv.weight": torch.randn(8, 3, 3, 3)})
        assert [c.name for c in plan.convolutions] == ["conv.weight"]
