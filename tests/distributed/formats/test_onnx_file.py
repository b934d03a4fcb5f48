"""ONNX checkpoints: every way to store a weight, the real models, and hostile files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from distributed.errors import SkipReason, UnextractableError
from distributed.formats import open_checkpoint
from distributed.formats.base import Checkpoint
from distributed.formats.onnx_file import OnnxCheckpoint
from distributed.formats.onnx_tensors import TORCH_DTYPES
from distributed.graph.facts import DepthMethod
from distributed.graph.onnx_levels import FLOATING_TYPES
from distributed.local_files import LocalFile
from tests.distributed.formats.helpers import Served
from tests.tensors import read

IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)


def source(root: Path, name: str) -> LocalFile:
    return LocalFile(root / name, name)


def model_of(*weights: TensorProto, nodes: Sequence[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """One Conv per weight, in a chain, unless nodes are given."""
    if nodes is None:
        values = ["image", *(f"v{i}" for i in range(len(weights)))]
        nodes = [
            helper.make_node("Conv", [before, weight.name], [after])
            for before, after, weight in zip(values, values[1:], weights, strict=False)
        ]
    return helper.make_model(helper.make_graph(nodes, "g", [IMAGE], [], list(weights)))


def opened(folder: Path, model: onnx.ModelProto, *others: str, name: str = "model.onnx") -> OnnxCheckpoint:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(model.SerializeToString())
    return OnnxCheckpoint([source(folder, each) for each in (name, *others)])


def only(checkpoint: OnnxCheckpoint) -> torch.Tensor:
    (entry,) = checkpoint.entries
    ((name, tensor),) = read(checkpoint, [entry.name])
    assert (name, tuple(tensor.shape), str(tensor.dtype)) == (entry.name, entry.shape, f"torch.{entry.dtype}")
    return tensor


def refused(folder: Path, model: onnx.ModelProto, *others: str) -> UnextractableError:
    with pytest.raises(UnextractableError) as caught:
        opened(folder, model, *others)
    assert caught.value.reason is SkipReason.UNREADABLE
    assert caught.value.place.file == "model.onnx"
    assert "\n" not in str(caught.value)
    return caught.value


def test_it_is_a_checkpoint(tmp_path: Path) -> None:
    checkpoint: Checkpoint = opened(tmp_path, model_of(numpy_helper.from_array(KERNEL, "w")))
    with checkpoint:
        assert (checkpoint.format, checkpoint.order_known, checkpoint.notes) == ("onnx", True, ())
        assert checkpoint.graph is not None
        assert checkpoint.graph.method is DepthMethod.ONNX
        ((_, tensor),) = read(checkpoint, ["w"])
    # What was read outlives the checkpoint and is writable memory of its own.
    tensor += 1
    assert np.array_equal(tensor.numpy(), KERNEL + 1)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "data_type",
    [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT8E5M2],
)
def test_every_type_and_field_is_read_exactly(tmp_path: Path, data_type: int, raw: bool) -> None:
    values = torch.from_numpy(KERNEL).to(getattr(torch, TORCH_DTYPES[data_type]))
    if raw:
        flat = values.contiguous().view(torch.uint8).numpy().tobytes()
        proto = helper.make_tensor("w", data_type, KERNEL.shape, flat, raw=True)
    else:
        proto = helper.make_tensor("w", data_type, KERNEL.shape, values.double().flatten().tolist())
        assert not proto.HasField("raw_data")
    found = only(opened(tmp_path, model_of(proto)))
    assert found.dtype == values.dtype
    assert torch.equal(found.view(torch.uint8), values.view(torch.uint8))


def test_nan_inf_subnormals_and_negative_zero_keep_their_bits(tmp_path: Path) -> None:
    bits = np.array([0x7FC01234, 0xFF800000, 0x7F800000, 0x80000000, 1, 0x007FFFFF, 0, 0x3F800000, 5], np.uint32)
    proto = helper.make_tensor("w", TensorProto.FLOAT, (1, 1, 3, 3), bits.tobytes(), raw=True)
    assert np.array_equal(only(opened(tmp_path, model_of(proto))).numpy().view(np.uint32).ravel(), bits)


def test_sign_extended_half_precision_bits(tmp_path: Path) -> None:
    proto = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[1, 1, 1, 2], int32_data=[-17408, 0x3C00])
    assert only(opened(tmp_path, model_of(proto))).flatten().tolist() == [-1.0, 1.0]


def test_the_types_that_count_as_floating_are_those_that_can_be_read() -> None:
    assert set(TORCH_DTYPES) == FLOATING_TYPES


def test_order_constants_sharing_and_what_is_no_weight(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(KERNEL.transpose(1, 0, 2, 3).copy(), "")),
        helper.make_node("Constant", [], ["scale"], value=numpy_helper.from_array(np.float32([2, 3, 4, 5]), "")),
        helper.make_node("Constant", [], ["slope"], value_floats=[0.1, 0.2, 0.3, 0.4]),
        helper.make_node("Conv", ["image", "z", "z_bias"], ["1"]),
        helper.make_node("Mul", ["1", "scale"], ["2"]),
        helper.make_node("PRelu", ["2", "slope"], ["3"]),
        helper.make_node("ConvTranspose", ["3", "z"], ["4"]),
        helper.make_node("Conv", ["4", "a"], ["5"]),
        helper.make_node("Reshape", ["5", "shape"], ["6"]),
        helper.make_node("Conv", ["6", "k"], ["7"]),
    ]
    weights = [
        numpy_helper.from_array(np.int64([1, 4, 8, 8]), "shape"),
        numpy_helper.from_array(np.zeros(3, np.float32), "unused"),
        numpy_helper.from_array(KERNEL, "a"),
        numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "z"),
        numpy_helper.from_array(np.zeros(4, np.float32), "z_bias"),
    ]
    checkpoint = opened(tmp_path, model_of(*weights, nodes=nodes))
    names = [entry.name for entry in checkpoint.entries]
    assert names == ["z", "z_bias", "slope", "a", "k", "unused"]
    assert list(checkpoint.graph.convolutions) == ["z", "a", "k"]
    assert [checkpoint.graph.convolutions[n].depth for n in ("z", "a", "k")] == [0, 2, 3]
    # In the order asked, whatever the file's.
    got = dict(read(checkpoint, ["k", "slope", "a"]))
    assert list(got) == ["k", "slope", "a"]
    assert np.array_equal(got["k"].numpy(), KERNEL.transpose(1, 0, 2, 3))
    assert torch.equal(got["slope"], torch.tensor([0.1, 0.2, 0.3, 0.4]))


def test_convolutions_of_other_ranks_are_entries_but_no_2d_convolutions(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.ones((2,) * rank, np.float32), f"w{rank}") for rank in (3, 4, 5)]
    checkpoint = opened(tmp_path, model_of(*weights))
    assert [entry.shape for entry in checkpoint.entries] == [(2,) * rank for rank in (3, 4, 5)]
    assert list(checkpoint.graph.convolutions) == ["w4"]


def test_weights_in_the_bodies_of_control_flow(tmp_path: Path) -> None:
    def branch(name: str, value: float) -> onnx.GraphProto:
        info = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
        inner = numpy_helper.from_array(np.full((4, 3, 3, 3), value, np.float32), "inner")
        return helper.make_graph([helper.make_node("Conv", ["image", "inner"], ["out"])], name, [], [info], [inner])

    choice = helper.make_node("If", ["on"], ["1"], name="if", then_branch=branch("t", 1), else_branch=branch("e", 2))
    on = numpy_helper.from_array(np.bool_(True), "on")
    checkpoint = opened(tmp_path, model_of(on, nodes=[choice]))
    found = {name: float(t.mean()) for name, t in read(checkpoint, [e.name for e in checkpoint.entries])}
    assert found == {"inner": 2.0, "if.then_branch/inner": 1.0}
    assert set(checkpoint.graph.convolutions) == set(found)


def external(location: str, **entries: object) -> TensorProto:
    proto = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=KERNEL.shape)
    proto.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        proto.external_data.add(key=key, value=str(value))
    return proto


def test_external_data_as_onnx_writes_it_is_read_in_ranges(tmp_path: Path) -> None:
    other = RNG.standard_normal((4, 4, 3, 3)).astype(np.float32)
    model = model_of(numpy_helper.from_array(KERNEL, "a"), numpy_helper.from_array(other, "b"))
    folder = tmp_path / "onnx"
    folder.mkdir()
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    data = source(tmp_path, "onnx/m.onnx.data")
    checkpoint = OnnxCheckpoint([source(tmp_path, "onnx/m.onnx"), data])
    assert data.bytes_read == 0
    ((_, found),) = read(checkpoint, ["b"])
    assert np.array_equal(found.numpy(), other)
    assert data.bytes_read == other.nbytes
    assert np.array_equal(dict(read(checkpoint, ["a"]))["a"].numpy(), KERNEL)


def test_external_data_is_asked_for_in_few_ranges(tmp_path: Path) -> None:
    kernels = {f"w{i}": RNG.standard_normal((64, 64, 3, 3)).astype(np.float32) for i in range(6)}
    model = model_of(*(numpy_helper.from_array(kernel, name) for name, kernel in kernels.items()))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.weights", size_threshold=0)
    graph, data = (Served(tmp_path / name, name) for name in ("m.onnx", "m.weights"))
    with open_checkpoint([graph, data]) as checkpoint:
        assert graph.is_whole  # and can so be verified
        assert data.calls == []
        found = dict(read(checkpoint, ["w1", "w2", "w5"]))
    assert all(np.array_equal(tensor.numpy(), kernels[name]) for name, tensor in found.items())
    assert [len(call) for call in data.calls] == [2]
    assert data.bytes_read == sum(kernels[name].nbytes for name in found)
    assert not data.is_whole


def test_external_data_without_length_or_offset(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(KERNEL.tobytes())
    assert np.array_equal(only(opened(tmp_path, model_of(external("./w.bin")), "w.bin")).numpy(), KERNEL)


@pytest.mark.parametrize(
    "location",
    ["../secret", "a/../../secret", "/etc/passwd", "..\\secret", "C:\\secret", "\\\\host\\share", "", "a\0b", "a/.."],
)
def test_paths_out_of_the_folder_are_never_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(KERNEL.tobytes())
    error = refused(folder, model_of(external(location)), "../secret")
    assert "outside the model's folder, which is never read" in str(error)
    assert error.place.tensor == "w"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"offset": 4},
            "lies outside its file 'w.bin': fetch the file again (expected at least 436 bytes, found 432 bytes)",
        ),
        ({"length": 428}, "(expected 432 bytes in 'w.bin', found 428 bytes in 'w.bin')"),
        ({"offset": -4}, "an external data offset that is no size (expected a number of bytes, found '-4')"),
        ({"length": "9" * 5000}, "an external data length that is no size"),
        ({"offset": "²"}, "an external data offset that is no size"),
    ],
)
def test_ranges_out_of_the_file_are_refused(tmp_path: Path, entries: dict[str, object], message: str) -> None:
    (tmp_path / "w.bin").write_bytes(KERNEL.tobytes())
    assert message in str(refused(tmp_path, model_of(external("w.bin", **entries)), "w.bin"))


def test_a_missing_external_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path, model_of(external("weights/w.bin")))
    assert "model.onnx: 'w': needs the file 'weights/w.bin', which is not among the model's files" in str(error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [4, 3, 3, 4]}, "(expected 576 bytes, found 432 bytes)"),
        ({"dims": [-4, 3, 3, 3]}, "an impossible shape"),
        ({"dims": [0, 2**62, 2**62, 3]}, "an impossible shape"),
        ({"dims": [2**40, 2**40, 3, 3]}, "an impossible shape"),
        ({"raw_data": b""}, "(expected 432 bytes, found 0 bytes)"),
    ],
)
def test_data_that_does_not_fit_its_shape_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    fields = {"dims": KERNEL.shape, "raw_data": KERNEL.tobytes(), **change}
    proto = TensorProto(name="w", data_type=TensorProto.FLOAT, **fields)
    assert message in str(refused(tmp_path, model_of(proto)))


def test_values_missing_from_a_typed_field(tmp_path: Path) -> None:
    proto = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 1, 3, 3], float_data=[1.0] * 8)
    assert "(expected 9 values, found 8 values)" in str(refused(tmp_path, model_of(proto)))


def test_zero_size_tensors_are_read(tmp_path: Path) -> None:
    proto = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[0, 3, 3, 3], raw_data=b"")
    assert only(opened(tmp_path, model_of(proto))).shape == (0, 3, 3, 3)


def test_sparse_and_integer_weights_are_noted(tmp_path: Path) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 5])
    model = model_of(
        numpy_helper.from_array(np.ones((4, 4, 3, 3), np.int8), "int"),
        nodes=[
            helper.make_node("Conv", ["image", "sparse"], ["1"], kernel_shape=[3, 3]),
            helper.make_node("ConvInteger", ["1", "int"], ["2"]),
        ],
    )
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 3, 3, 3]))
    checkpoint = opened(tmp_path, model)
    assert list(checkpoint.entries) == []
    assert sorted(checkpoint.notes) == [
        "left out 1 2-D convolution(s) with a quantised weight (ConvInteger) whose scale is not known",
        "left out 1 2-D convolution(s) with a sparse weight",
        "left out 1 INT8 tensor(s): not floating point",
        "left out 1 sparse tensor(s), first 'sparse'",
    ]


def test_truncated_foreign_and_empty_files_are_refused(tmp_path: Path, checkpoints: Path) -> None:
    whole = (checkpoints / "version-slim-320.onnx").read_bytes()
    for number, (content, message) in enumerate(
        [
            (whole[: len(whole) // 2], "is no ONNX model or is cut off"),
            (whole[:-1], "is no ONNX model or is cut off"),
            (whole[:20], "cut off"),
            (b"", "holds no graph"),
            (b"<!DOCTYPE html><html>Not found</html>", "is no ONNX model"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is no ONNX model"),
        ]
    ):
        (tmp_path / f"{number}.onnx").write_bytes(content)
        with pytest.raises(UnextractableError, match=message) as caught:
            OnnxCheckpoint([source(tmp_path, f"{number}.onnx")])
        assert caught.value.reason is SkipReason.UNREADABLE


def test_every_cut_of_a_small_model_is_refused_or_holds_no_wrong_values(tmp_path: Path) -> None:
    whole = model_of(numpy_helper.from_array(KERNEL, "w")).SerializeToString()
    refusals = 0
    for length in range(len(whole)):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        try:
            found = only(OnnxCheckpoint([source(tmp_path, "cut.onnx")]))
        except UnextractableError:
            refusals += 1
        else:
            assert np.array_equal(found.numpy(), KERNEL)
    # Only what follows the graph (the opset) may be missing.
    assert refusals >= len(whole) - 12


def test_damaged_bytes_in_a_real_graph_are_refused_or_read_and_nothing_else(tmp_path: Path, checkpoints: Path) -> None:
    whole = (checkpoints / "version-slim-320.onnx").read_bytes()
    reasons: Counter[SkipReason] = Counter()
    for _ in range(150):
        damaged = bytearray(whole)
        # The nodes, with their names, types and attributes, are in the first 20 kB.
        for position in RNG.integers(0, 20_000, size=3):
            damaged[position] = RNG.choice([0, 0x80, 0xFF, RNG.integers(256)])
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        try:
            with OnnxCheckpoint([source(tmp_path, "damaged.onnx")]) as checkpoint:
                list(read(checkpoint, [entry.name for entry in checkpoint.entries]))
        except UnextractableError as error:
            reasons[error.reason] += 1
    assert set(reasons) == {SkipReason.UNREADABLE}
    assert reasons[SkipReason.UNREADABLE] > 50


def test_a_file_over_two_gibibytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(2**31)
    huge = source(tmp_path, "huge.onnx")
    with pytest.raises(UnextractableError, match="over 2 GiB"):
        OnnxCheckpoint([huge])
    assert huge.bytes_read == 0


def test_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, model_of(numpy_helper.from_array(KERNEL, "w")))
    with pytest.raises(UnextractableError, match="has no weight 'x'"):
        list(read(checkpoint, ["x"]))


def plain_3x3(path: Path) -> dict[str, np.ndarray]:
    """What a few lines of plain onnx read: the 3x3 initialisers that a Conv uses."""
    graph = onnx.load(path).graph
    used = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {name: array for name, array in tensors.items() if name in used and array.shape[2:] == (3, 3)}


@pytest.mark.parametrize(("name", "filters"), [("version-RFB-320.onnx", 7_872), ("version-slim-320.onnx", 6_624)])
def test_the_real_models(checkpoints: Path, name: str, filters: int) -> None:
    expected = plain_3x3(checkpoints / name)
    with OnnxCheckpoint([source(checkpoints, name)]) as checkpoint:
        facts = checkpoint.graph
        names = [e.name for e in checkpoint.entries if e.name in facts.convolutions and e.shape[2:] == (3, 3)]
        found = {each: tensor.numpy() for each, tensor in read(checkpoint, names)}
    assert {each: array.shape for each, array in found.items()} == {k: v.shape for k, v in expected.items()}
    assert all(np.array_equal(array, expected[each]) for each, array in found.items())
    assert sum(array.shape[0] * array.shape[1] for array in found.values()) == filters
    assert facts.op_counts["Conv"] == len(facts.convolutions)
    assert facts.convolutions["base_net.0.0.weight"].depth == 0
    assert facts.convolutions["base_net.1.0.weight"].groups == 16
    deepest = max(facts.convolutions.values(), key=lambda each: each.depth).depth
    assert facts.convolutions["regression_headers.3.weight"].depth == deepest


def test_the_pth_and_onnx_twins_hold_equal_tensors(checkpoints: Path) -> None:
    state = torch.load(checkpoints / "version-RFB-320.pth", weights_only=True, map_location="cpu")
    with OnnxCheckpoint([source(checkpoints, "version-RFB-320.onnx")]) as checkpoint:
        found = dict(read(checkpoint, [entry.name for entry in checkpoint.entries]))
    assert set(found) == {name for name, tensor in state.items() if tensor.is_floating_point()}
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())
