"""Where an ONNX graph's weights are, found in its bytes: as onnx writes them, damaged, and hostile."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from distributed import external_data
from distributed.external_data import FIELDS, locations_in, locations_in_file, path_of_location

KERNEL = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)


def outside(name: str, location: str) -> TensorProto:
    proto = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    proto.external_data.add(key="location", value=location)
    proto.external_data.add(key="offset", value="0")
    return proto


def graph_of(nodes: list[onnx.NodeProto], *weights: TensorProto) -> onnx.GraphProto:
    return helper.make_graph(nodes, "g", [], [], list(weights))


def test_the_fields_are_those_of_onnx() -> None:
    for message, fields in FIELDS.items():
        numbers = getattr(onnx, message).DESCRIPTOR.fields_by_number
        for number, inner in fields.items():
            assert numbers[number].message_type.name == inner
    # Every way from a model to a tensor that reading looks at; training graphs are left out there as well.
    for message in FIELDS:
        for field in getattr(onnx, message).DESCRIPTOR.fields:
            if field.message_type is not None and field.message_type.name in FIELDS and field.name != "metadata_props":
                assert field.number in FIELDS[message], (message, field.name)


def test_all_that_hold_tensors_are_looked_into() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=outside("c", "constant.bin"))
    several = helper.make_node("Several", [], ["s"], domain="own")
    several.attribute.append(helper.make_attribute("all", [outside("1", "list.bin"), outside("2", "list.bin")]))
    inner = graph_of(
        [helper.make_node("Constant", [], ["d"], value=outside("d", "inner.bin"))], outside("w", "a/b.bin")
    )
    choice = helper.make_node("If", ["on"], ["y"], then_branch=inner, else_branch=graph_of([]))
    function = helper.make_function("own", "F", [], ["e"], [], [])
    function.node.append(helper.make_node("Constant", [], ["e"], value=outside("e", "function.bin")))
    model = helper.make_model(graph_of([constant, several, choice], outside("i", "init.bin")), functions=[function])
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(outside("v", "sparse.bin"))
    found = locations_in(model.SerializeToString())
    assert set(found) == {
        *("constant.bin", "list.bin", "inner.bin", "a/b.bin", "function.bin", "init.bin", "sparse.bin"),
    }
    assert len(found) == 7


@pytest.mark.parametrize("one_file", [True, False])
def test_files_as_onnx_writes_them(tmp_path: Path, one_file: bool) -> None:
    nodes = [helper.make_node("Conv", ["x", "a"], ["1"]), helper.make_node("Conv", ["1", "b"], ["2"])]
    weights = [numpy_helper.from_array(KERNEL, "a"), numpy_helper.from_array(KERNEL + 1, "b")]
    model = helper.make_model(graph_of(nodes, *weights))
    options = {"save_as_external_data": True, "all_tensors_to_one_file": one_file, "size_threshold": 0}
    onnx.save_model(model, tmp_path / "m.onnx", **options, location="w.pb" if one_file else None)
    assert locations_in_file(tmp_path / "m.onnx") == (["w.pb"] if one_file else ["a", "b"])


def test_what_has_none() -> None:
    inline = helper.make_model(graph_of([helper.make_node("Conv", ["x", "location"], ["1"])]))
    inline.graph.initializer.append(numpy_helper.from_array(KERNEL, "location"))
    assert locations_in(inline.SerializeToString()) == []
    assert locations_in(b"") == []
    assert locations_in(b"PK\x03\x04 location") == []


def test_a_file_without_a_byte(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    assert locations_in_file(tmp_path / "empty.onnx") == []


def test_damaged_graphs_give_what_stands_before_the_damage_or_nothing() -> None:
    whole = helper.make_model(graph_of([], *(outside(str(i), f"{i}.bin") for i in range(20)))).SerializeToString()
    every = {f"{i}.bin" for i in range(20)}
    for length in range(len(whole)):
        assert set(locations_in(whole[:length])) <= every
    rng = np.random.default_rng(1)
    for _ in range(500):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 3):
            damaged[position] = rng.integers(256)
        locations_in(bytes(damaged))  # whatever it finds, it ends without an error


def test_a_graph_in_itself_without_end_is_given_up() -> None:
    def field(number: int, content: bytes) -> bytes:
        length, size = len(content), b""
        while True:
            size += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
            length >>= 7
            if not length:
                return bytes([number << 3 | 2]) + size + content

    content = b""
    for _ in range(3000):  # a graph in an attribute of a node of a graph …
        content = field(1, field(5, field(6, content)))
    assert locations_in(field(7, content)) == []


def test_a_file_of_nothing_but_fields_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_data, "_MAX_FIELDS", 100_000)
    content = b"\x0a\x00" * 10**7
    started = time.perf_counter()
    assert locations_in(content) == []
    assert time.perf_counter() - started < 5


def test_large_weights_are_stepped_over(tmp_path: Path) -> None:
    large = numpy_helper.from_array(np.zeros(50_000_000, np.float32), "w")
    model = helper.make_model(graph_of([], large, outside("o", "after.bin")))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    started = time.perf_counter()
    assert locations_in_file(tmp_path / "m.onnx") == ["after.bin"]
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("folder", "location", "path"),
    [
        ("", "w.bin", "w.bin"),
        ("onnx", "w.bin", "onnx/w.bin"),
        ("onnx", "./a//w.bin", "onnx/a/w.bin"),
        ("onnx", "a\\w.bin", "onnx/a/w.bin"),
        ("onnx", "..w.bin", "onnx/..w.bin"),
        *(
            ("onnx", out, None)
            for out in ("../w", "a/../../w", "/etc/passwd", "\\\\host\\w", "C:\\w", "", "a\0b", "..")
        ),
    ],
)
def test_only_what_lies_beside_or_below_the_graph_is_a_path(folder: str, location: str, path: str | None) -> None:
    assert path_of_location(folder, location) == path
