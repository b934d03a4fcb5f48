"""Weights that ONNX graphs make from constants: what onnx's own reference evaluator makes of them, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from distributed.convolutions import find_convolutions, materialise
from distributed.errors import UnextractableError
from distributed.formats.onnx_file import OnnxCheckpoint
from distributed.graph import onnx_folding
from distributed.local_files import LocalFile

RNG = np.random.default_rng(11)
IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def integers(*shape: int, dtype: type = np.int8) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


def model_of(
    nodes: Sequence[onnx.NodeProto], stored: dict[str, np.ndarray], outputs: Sequence[str] = (), opset: int = 21
) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    protos = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(list(nodes), "g", [IMAGE], infos, protos)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def opened(folder: Path, model: onnx.ModelProto) -> OnnxCheckpoint:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return OnnxCheckpoint([LocalFile(folder / "model.onnx", "model.onnx")])


def extracted(checkpoint: OnnxCheckpoint, **options: bool) -> dict[str, np.ndarray]:
    """Name → weight of every convolution that is taken."""
    plan = find_convolutions(checkpoint.entries, checkpoint.graph, order_known=True, **options)
    return {c.name: materialise(c, dict(checkpoint.read(c.parts))) for c in plan.convolutions}


#: Steps from stored tensors to the value "w", by what they are for; the name that the weight goes by, and the opset.
FOLDED: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], str, int]] = {
    "TensorFlow's order": (
        [node("Transpose", "hwio", "w", perm=[3, 2, 0, 1])],
        {"hwio": floats(3, 3, 4, 8)},
        "hwio",
        21,
    ),
    "reversed axes": ([node("Transpose", "k", "w")], {"k": floats(3, 3, 4, 8)}, "k", 21),
    "reshape": (
        [node("Reshape", "flat shape", "w")],
        {"flat": floats(8, 36), "shape": np.int64([8, -1, 3, 3])},
        "flat",
        21,
    ),
    "reshape to a Constant": (
        [node("Constant", "", "shape", value_ints=[8, 4, 3, 3]), node("Reshape", "flat shape", "w")],
        {"flat": floats(288)},
        "flat",
        21,
    ),
    "scaled by a Constant": (
        [node("Constant", "", "half", value_float=0.5), node("Mul", "half k", "w")],
        {"k": floats(8, 4, 3, 3)},
        "k",
        21,
    ),
    "reshape that keeps": (
        [node("Reshape", "flat shape", "w")],
        {"flat": floats(8, 4, 9), "shape": np.int64([0, 0, 3, 3])},
        "flat",
        21,
    ),
    "unsqueeze": (
        [node("Unsqueeze", "k axes", "w")],
        {"k": floats(8, 3, 3), "axes": np.int64([-3])},
        "k",
        21,
    ),
    "unsqueeze of old": ([node("Unsqueeze", "k", "w", axes=[1])], {"k": floats(8, 3, 3)}, "k", 11),
    "squeeze": (
        [node("Squeeze", "k axes", "w")],
        {"k": floats(1, 8, 4, 3, 3), "axes": np.int64([0])},
        "k",
        21,
    ),
    "halves put together": (
        [node("Concat", "a b", "w", axis=0)],
        {"a": floats(4, 4, 3, 3), "b": floats(6, 4, 3, 3)},
        "b",
        21,
    ),
    "slice": (
        [node("Slice", "k from to axes steps", "w")],
        {
            "k": floats(9, 8, 5, 5),
            **{"from": np.int64([-8, 1]), "to": np.int64([2**40, -1])},
            **{"axes": np.int64([0, 2]), "steps": np.int64([2, 1])},
        },
        "k",
        21,
    ),
    "slice backwards": (
        [node("Slice", "k from to axes steps", "w")],
        {
            "k": floats(8, 4, 3, 3),
            **{"from": np.int64([-1, 2]), "to": np.int64([-(2**40), -4])},
            **{"axes": np.int64([3, 2]), "steps": np.int64([-1, -2])},
        },
        "k",
        21,
    ),
    "slice of old": ([node("Slice", "k", "w", starts=[2], ends=[6], axes=[0])], {"k": floats(8, 4, 3, 3)}, "k", 9),
    "split": (
        [node("Split", "k sizes", "first w", axis=1)],
        {"k": floats(8, 7, 3, 3), "sizes": np.int64([3, 4])},
        "k",
        21,
    ),
    "split evenly": ([node("Split", "k", "w rest", axis=0, num_outputs=2)], {"k": floats(7, 4, 3, 3)}, "k", 21),
    "scaled": (
        [node("Mul", "k gain", "w")],
        {"k": floats(8, 4, 3, 3), "gain": floats(8, 1, 1, 1)},
        "k",
        21,
    ),
    "standardised by constants": (
        [node("Sub", "k mean", "centred"), node("Div", "centred deviation", "w")],
        {"k": floats(8, 4, 3, 3), "mean": floats(8, 1, 1, 1), "deviation": np.abs(floats(8, 1, 1, 1)) + 1},
        "k",
        21,
    ),
    "shifted": ([node("Add", "k k2", "w")], {"k": floats(8, 4, 3, 3), "k2": floats(8, 4, 3, 3)}, "k", 21),
    "a chain": (
        [
            node("Identity", "hwio", "same"),
            node("Mul", "same gain", "scaled"),
            node("Transpose", "scaled", "w", perm=[3, 2, 0, 1]),
        ],
        {"hwio": floats(3, 3, 4, 8), "gain": floats(8)},
        "hwio",
        21,
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_constants_are_folded(tmp_path: Path, case: str) -> None:
    nodes, stored, name, opset = FOLDED[case]
    (expected,) = ReferenceEvaluator(model_of(nodes, stored, ["w"], opset)).run(None, {"image": floats(1, 3, 8, 8)})
    checkpoint = opened(tmp_path, model_of([*nodes, node("Conv", "image w", "y")], stored, opset=opset))
    (entry,) = [each for each in checkpoint.entries if len(each.shape) == 4]
    assert (entry.name, entry.shape, entry.dtype, entry.is_dequantised) == (name, expected.shape, "float32", False)
    found = extracted(checkpoint)
    assert list(found) == [name]
    assert found[name].dtype == expected.dtype
    assert np.array_equal(found[name], expected)
    assert checkpoint.notes == ()
    # What the weight is made from is in the weight, and counts once.
    others = {each.name for each in checkpoint.entries} - {name}
    assert others == set()


def test_half_precision_stays_what_it_is(tmp_path: Path) -> None:
    half = floats(3, 3, 4, 8).astype(np.float16)
    nodes = [
        node("Cast", "hwio", "wide", to=TensorProto.FLOAT),
        node("Transpose", "wide", "w", perm=[3, 2, 0, 1]),
        node("Conv", "image w", "y"),
    ]
    checkpoint = opened(tmp_path, model_of(nodes, {"hwio": half}))
    assert [(each.name, each.dtype) for each in checkpoint.entries] == [("hwio", "float16")]
    assert np.array_equal(extracted(checkpoint)["hwio"], half.transpose(3, 2, 0, 1).astype(np.float32))


def test_one_tensor_gives_several_weights_and_a_tied_one_counts_once(tmp_path: Path) -> None:
    kernel = floats(8, 4, 3, 3)
    nodes = [
        node("Split", "k", "left right", axis=0, num_outputs=2),
        node("Transpose", "k", "turned", perm=[0, 1, 3, 2]),
        node("Transpose", "k", "turned_again", perm=[0, 1, 3, 2]),
        node("Conv", "image left", "1"),
        node("Conv", "1 right", "2"),
        node("Conv", "2 turned", "3"),
        node("Conv", "3 turned_again", "4"),
        node("Conv", "4 k", "5"),
    ]
    checkpoint = opened(tmp_path, model_of(nodes, {"k": kernel}))
    found = extracted(checkpoint)
    assert {name: array.shape[0] for name, array in found.items()} == {"k#2": 4, "k#3": 4, "k#4": 8, "k": 8}
    for name, expected in [("k", kernel), ("k#2", kernel[:4]), ("k#3", kernel[4:]), ("k#4", kernel.swapaxes(2, 3))]:
        assert np.array_equal(found[name], expected)
    assert {name: facts.depth for name, facts in checkpoint.graph.convolutions.items()} == {
        "k#2": 0,
        "k#3": 1,
        "k#4": 2,
        "k": 4,
    }


SCALES = (np.abs(floats(8)) + 0.1).astype(np.float32)
ZEROS = RNG.integers(-20, 20, 8).astype(np.int8)


@pytest.mark.parametrize("between", ["nothing", "Clip", "Transpose"])
def test_a_float_that_is_quantised_and_dequantised_again_is_the_float(tmp_path: Path, between: str) -> None:
    kernel, zeros = floats(8, 4, 3, 3), np.zeros(8, np.int8)
    stored = {"k": kernel, "s": SCALES, "z": zeros, "low": np.int8(-7), "high": np.int8(7)}
    nodes = [node("QuantizeLinear", "k s z", "q", axis=0)]
    expected = kernel
    if between == "Clip":
        nodes += [node("Clip", "q low high", "c"), node("DequantizeLinear", "c s z", "w", axis=0)]
    elif between == "Transpose":
        nodes += [node("DequantizeLinear", "q s z", "d", axis=0), node("Transpose", "d", "w", perm=[0, 1, 3, 2])]
        expected = kernel.swapaxes(2, 3)
    else:
        nodes += [node("DequantizeLinear", "q s z", "w", axis=0)]
    checkpoint = opened(tmp_path, model_of([*nodes, node("Conv", "image w", "y")], stored))
    found = extracted(checkpoint)
    assert list(found) == ["k"]
    assert np.array_equal(found["k"], expected)


def quantised_model(kind: str) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray], np.ndarray]:
    """Nodes, stored tensors and what the integers stand for, by onnx's reference or, at ConvInteger, by hand."""
    q = integers(8, 4, 3, 3)
    stored: dict[str, np.ndarray] = {"q": q, "s": SCALES, "z": ZEROS, "xs": np.float32(0.1), "xz": np.uint8(3)}
    stands_for = (q.astype(np.float32) - ZEROS.reshape(8, 1, 1, 1).astype(np.float32)) * SCALES.reshape(8, 1, 1, 1)
    if kind == "DequantizeLinear":
        return [node("DequantizeLinear", "q s z", "w", axis=0), node("Conv", "image w", "y")], stored, stands_for
    if kind == "QLinearConv":
        return [node("QLinearConv", "image xs xz q s z xs xz", "y")], stored, stands_for
    if kind == "uint8":
        q = integers(8, 4, 3, 3, dtype=np.uint8)
        stored |= {"q": q, "s": np.float32(0.25), "z": np.uint8(128)}
        stands_for = (q.astype(np.float32) - 128) * np.float32(0.25)
        return [node("DequantizeLinear", "q s z", "w"), node("Conv", "image w", "y")], stored, stands_for
    if kind == "by hand":
        stored |= {"s": np.float32(0.25), "z": np.float32(5)}
        stands_for = (q.astype(np.float32) - 5) * np.float32(0.25)
        nodes = [node("Cast", "q", "f", to=TensorProto.FLOAT), node("Sub", "f z", "c"), node("Mul", "c s", "w")]
        return [*nodes, node("Conv", "image w", "y")], stored, stands_for
    # As ONNX Runtime's dynamic quantisation writes it.
    stored |= {"s": np.float32([0.25]), "z": np.int8(4), "bias": integers(1, 8, 1, 1, dtype=np.int32)}
    nodes = [
        node("DynamicQuantizeLinear", "image", "xq xscale xzero"),
        node("ConvInteger", "xq q xzero z", "i"),
        node("Add", "i bias", "b"),
        node("Cast", "b", "f", to=TensorProto.FLOAT),
        node("Mul", "xscale s", "scales"),
        node("Mul", "f scales", "y"),
    ]
    return nodes, stored, (q.astype(np.float32) - 4) * np.float32(0.25)


QUANTISED = ("DequantizeLinear", "QLinearConv", "uint8", "by hand", "ConvInteger")


@pytest.mark.parametrize("kind", QUANTISED)
def test_integers_are_read_as_what_they_stand_for_when_asked_for(tmp_path: Path, kind: str) -> None:
    nodes, stored, expected = quantised_model(kind)
    if any("w" in each.output for each in nodes):
        (evaluated,) = ReferenceEvaluator(model_of(nodes[:-1], stored, ["w"])).run(None, {"image": floats(1, 4, 8, 8)})
        assert np.array_equal(evaluated, expected)
    checkpoint = opened(tmp_path, model_of(nodes, stored))
    (entry,) = [each for each in checkpoint.entries if len(each.shape) == 4]
    assert (entry.name, entry.dtype, entry.is_dequantised) == ("q", "uint8" if kind == "uint8" else "int8", True)
    assert not any("INT8" in note for note in checkpoint.notes)
    found = extracted(checkpoint, include_quantised=True)
    assert list(found) == ["q"]
    assert np.array_equal(found["q"], expected)
    plan = find_convolutions(checkpoint.entries, checkpoint.graph, order_known=True, include_quantised=True)
    assert plan.convolutions[0].dtype == entry.dtype
    assert any("q" in note and "quantised" in note for note in plan.notes)


@pytest.mark.parametrize("kind", QUANTISED)
def test_integers_are_left_out_with_a_note_unless_asked_for(tmp_path: Path, kind: str) -> None:
    nodes, stored, _ = quantised_model(kind)
    nodes.append(node("Conv", "image float", "z1"))
    checkpoint = opened(tmp_path, model_of(nodes, {**stored, "float": floats(8, 3, 3, 3)}))
    assert list(extracted(checkpoint)) == ["float"]
    plan = find_convolutions(checkpoint.entries, checkpoint.graph, order_known=True)
    assert any(note.startswith("left out q: quantised") and "extract.quantised=true" in note for note in plan.notes)
    assert not {"s", "z"} & {entry.name for entry in checkpoint.entries}


def test_scales_along_another_axis_and_in_blocks(tmp_path: Path) -> None:
    q = integers(8, 4, 3, 3)
    stored = {"q": q, "s1": SCALES[:4], "z1": ZEROS[:4], "s2": np.abs(floats(4, 4, 3, 3))}
    nodes = [
        node("DequantizeLinear", "q s1 z1", "w1"),
        node("DequantizeLinear", "q s2", "w2", axis=0, block_size=2),
    ]
    expected = ReferenceEvaluator(model_of(nodes, stored, ["w1", "w2"])).run(None, {"image": floats(1, 3, 8, 8)})
    nodes += [node("Conv", "image w1", "1"), node("Conv", "1 w2", "2")]
    found = extracted(opened(tmp_path, model_of(nodes, stored)), include_quantised=True)
    assert np.array_equal(found["q"], expected[0])
    assert np.array_equal(found["q#2"], expected[1])


def test_integers_without_their_scale_are_never_taken(tmp_path: Path) -> None:
    stored = {"q": integers(8, 4, 3, 3), "z": np.float32(5), "f": floats(8, 4, 3, 3)}
    nodes = [
        node("Cast", "q", "bare", to=TensorProto.FLOAT),
        node("Sub", "bare z", "centred"),
        node("Conv", "image bare", "1"),
        node("Conv", "1 centred", "2"),
        node("ConvInteger", "2 q", "3"),
        node("Conv", "3 f", "4"),
    ]
    checkpoint = opened(tmp_path, model_of(nodes, stored))
    assert list(extracted(checkpoint, include_quantised=True)) == ["f"]
    assert sorted(checkpoint.notes) == [
        "left out 1 2-D convolution(s) with a quantised weight (ConvInteger) whose scale is not known",
        "left out 1 INT8 tensor(s): not floating point",
        "left out 2 2-D convolution(s) with a weight stored as INT8",
    ]


def test_weights_of_8_bit_floats_are_scaled(tmp_path: Path) -> None:
    import ml_dtypes

    q = floats(8, 4, 3, 3).astype(ml_dtypes.float8_e4m3fn)
    proto = helper.make_tensor("q", TensorProto.FLOAT8E4M3FN, q.shape, q.tobytes(), raw=True)
    model = model_of([node("DequantizeLinear", "q s", "w", axis=0), node("Conv", "image w", "y")], {"s": SCALES})
    model.graph.initializer.append(proto)
    found = extracted(opened(tmp_path, model))
    assert np.array_equal(found["q"], q.astype(np.float32) * SCALES.reshape(8, 1, 1, 1))


class TestDomains:
    def test_a_convolution_of_another_domain_is_no_plain_one(self, tmp_path: Path) -> None:
        stored = {name: floats(8, 3, 3, 3) for name in ("blocked", "own", "plain", "fused")}
        nodes = [
            node("Conv", "image blocked", "1", domain="com.microsoft.nchwc", kernel_shape=[3, 3]),
            node("MyConv2d", "1 own", "2", domain="mine", kernel_shape=[3, 3]),
            node("Conv", "2 plain", "3", domain="ai.onnx"),
            node("FusedConv", "3 fused", "4", domain="com.microsoft"),
        ]
        checkpoint = opened(tmp_path, model_of(nodes, stored))
        assert set(extracted(checkpoint)) == {"plain", "fused"}
        assert checkpoint.graph.convolutions["plain"].depth == 2  # they convolve all the same
        assert sorted(checkpoint.notes) == [
            "left out 1 2-D convolution(s) of com.microsoft.nchwc.Conv, whose order of weights is not known",
            "left out 1 2-D convolution(s) of mine.MyConv2d, whose order of weights is not known",
        ]

    @pytest.mark.parametrize(
        ("domain", "op"),
        [("com.microsoft", "NhwcConv"), ("com.microsoft", "NhwcFusedConv"), ("com.ms.internal.nhwc", "Conv")],
    )
    def test_images_in_nhwc_are_put_in_order_where_the_kernel_shape_tells(
        self, tmp_path: Path, domain: str, op: str
    ) -> None:
        last, first, unclear, untold = floats(8, 3, 3, 5), floats(8, 5, 3, 3), floats(8, 3, 3, 3), floats(8, 3, 3, 5)
        nodes = [
            node(op, "image last", "1", domain=domain, kernel_shape=[3, 3]),
            node(op, "1 first", "2", domain=domain, kernel_shape=[3, 3]),
            node(op, "2 unclear", "3", domain=domain, kernel_shape=[3, 3]),
            node(op, "3 untold", "4", domain=domain),
        ]
        stored = {"last": last, "first": first, "unclear": unclear, "untold": untold}
        checkpoint = opened(tmp_path, model_of(nodes, stored))
        found = extracted(checkpoint)
        assert set(found) == {"last", "first"}
        assert np.array_equal(found["last"], last.transpose(0, 3, 1, 2))
        assert np.array_equal(found["first"], first)
        assert checkpoint.notes == (
            f"left out 2 2-D convolution(s) of {domain}.{op}, whose order of weights is not known",
        )

    def test_deformable_convolutions_count(self, tmp_path: Path) -> None:
        stored = {name: floats(8, 8, 3, 3) for name in ("a", "b", "c")} | {"offsets": floats(18, 8, 3, 3)}
        nodes = [
            node("Conv", "image offsets", "o"),
            node("DeformConv", "image a o", "1", group=1),
            node("MMCVModulatedDeformConv2d", "1 o o b", "2", domain="mmdeploy", groups=1),
            node("MMCVDeformConv2d", "2 o c", "3", domain="mmdeploy", groups=2),
        ]
        checkpoint = opened(tmp_path, model_of(nodes, stored))
        found = extracted(checkpoint)
        assert {name: np.array_equal(array, stored[name]) for name, array in found.items()} == dict.fromkeys(
            stored, True
        )
        assert {name: (f.depth, f.groups) for name, f in checkpoint.graph.convolutions.items()} == {
            "offsets": (0, 1),
            "a": (1, 1),
            "b": (2, 1),
            "c": (3, 2),
        }


class TestHostile:
    def test_doubling_without_end_is_refused_before_it_fills_memory(self, tmp_path: Path) -> None:
        nodes = [node("Concat", f"v{i} v{i}", f"v{i + 1}", axis=0) for i in range(60)]
        checkpoint = opened(
            tmp_path,
            model_of([*nodes, node("Conv", "image v60", "1", kernel_shape=[3, 3]), node("Conv", "1 k", "2")],
                     {"v0": floats(8, 4, 3, 3), "k": floats(8, 4, 3, 3)}),
        )  # fmt: skip
        assert list(extracted(checkpoint)) == ["k"]
        assert "whose weight is blown up to" in " ".join(checkpoint.notes)

    def test_a_long_chain_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        nodes = [node("Transpose", f"v{i}", f"v{i + 1}", perm=[0, 1, 3, 2]) for i in range(3000)]
        last = [node("Conv", "image v3000", "1", kernel_shape=[3, 3]), node("Conv", "1 v10", "2")]
        checkpoint = opened(tmp_path, model_of([*nodes, *last], {"v0": floats(8, 4, 3, 3)}))
        assert checkpoint.notes == (
            f"left out 1 2-D convolution(s) whose weight passes through more than {onnx_folding.MAX_HANDS} nodes",
        )
        assert list(extracted(checkpoint)) == ["v0"]

    @pytest.mark.parametrize(
        "bad",
        [
            node("Transpose", "k", "w", perm=[0, 1, 2]),
            node("Transpose", "k", "w", perm=[0, 1, 2, 9]),
            node("Reshape", "k wrong", "w"),
            node("Reshape", "k k", "w"),
            node("Reshape", "k", "w"),
            node("Unsqueeze", "k many", "w"),
            node("Slice", "k zero", "w"),
            node("Slice", "k zero zero zero zero", "w"),
            node("Concat", "k k", "w", axis=7),
            node("Concat", "k q", "w", axis=0),
            node("Split", "k", "w", axis=0, num_outputs=-4),
            node("Mul", "k", "w"),
            node("Mul", "k flat", "w"),
            node("Mul", "q k", "w"),
            node("DequantizeLinear", "q", "w"),
            node("DequantizeLinear", "q flat", "w"),
            node("DequantizeLinear", "q flat", "w", axis=99),
            node("DequantizeLinear", "q k", "w", block_size=2**62),
            node("DequantizeLinear", "q q", "w"),
            node("Cast", "k", "w", to=TensorProto.INT8),
            node("Identity", "text", "w"),
        ],
        ids=lambda bad: f"{bad.op_type} {' '.join(bad.input)}",
    )
    def test_what_cannot_be_computed_is_left_out_in_one_line(self, tmp_path: Path, bad: onnx.NodeProto) -> None:
        stored = {
            "k": floats(8, 4, 3, 3), "q": integers(8, 4, 3, 3), "flat": floats(5), "other": floats(8, 3, 3, 3),
            "wrong": np.int64([7, -1]), "many": np.int64([0, 0]), "zero": np.int64([0]),
            "text": np.array(["a"] * 4, dtype=object).reshape(1, 1, 2, 2),
        }  # fmt: skip
        nodes = [bad, node("Conv", "image w", "1", kernel_shape=[3, 3]), node("Conv", "1 other", "2")]
        checkpoint = opened(tmp_path, model_of(nodes, stored))
        assert list(extracted(checkpoint, include_quantised=True)) == ["other"]
        (note,) = [note for note in checkpoint.notes if note.startswith("left out 1 2-D")]
        assert "\n" not in note

    def test_missing_values_of_a_part_refuse_the_model(self, tmp_path: Path) -> None:
        model = model_of([node("Mul", "k gain", "w"), node("Conv", "image w", "y")], {"k": floats(8, 4, 3, 3)})
        model.graph.initializer.append(TensorProto(name="gain", data_type=TensorProto.FLOAT, dims=[8, 1, 1, 1]))
        with pytest.raises(UnextractableError, match="'gain': does not hold what its shape needs"):
            opened(tmp_path, model)

    def test_names_that_are_no_text_and_types_that_do_not_exist(self, tmp_path: Path) -> None:
        nodes = [node("Transpose", "kkkk", "w", perm=[3, 2, 0, 1]), node("Conv", "image w", "1", kernel_shape=[3, 3])]
        whole = model_of(
            [*nodes, node("Conv", "1 other", "2")], {"kkkk": floats(3, 3, 4, 8), "other": floats(8, 8, 3, 3)}
        )
        content = whole.SerializeToString().replace(b"kkkk", b"k\xff\xfek").replace(b"perm", b"p\xffrm")
        (tmp_path / "m.onnx").write_bytes(content)
        found = extracted(OnnxCheckpoint([LocalFile(tmp_path / "m.onnx", "m.onnx")]))
        assert set(found) == {"k\\xff\\xfek", "other"}
        whole.graph.initializer[0].data_type = 113
        checkpoint = opened(tmp_path, whole)
        assert list(extracted(checkpoint)) == ["other"]
        assert "stored as type 113" in " ".join(checkpoint.notes)

    def test_damaged_graphs_are_refused_or_read_and_nothing_else(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(5)
        wholes = [
            model_of(
                [*nodes, node("Conv", "image w", "y", kernel_shape=[3, 3])], stored, opset=opset
            ).SerializeToString()
            for nodes, stored, _, opset in FOLDED.values()
        ]
        wholes += [model_of(*quantised_model(kind)[:2]).SerializeToString() for kind in QUANTISED]
        refusals = 0
        for _ in range(400):
            damaged = bytearray(wholes[rng.integers(len(wholes))])
            for position in rng.integers(0, min(400, len(damaged)), size=rng.integers(1, 4)):
                damaged[position] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
            (tmp_path / "damaged.onnx").write_bytes(damaged)
            try:
                checkpoint = OnnxCheckpoint([LocalFile(tmp_path / "damaged.onnx", "damaged.onnx")])
                extracted(checkpoint, include_quantised=True)
            except UnextractableError:
                refusals += 1
        assert 20 < refusals < 380
