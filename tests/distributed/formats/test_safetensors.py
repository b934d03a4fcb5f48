from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributed.errors import RetryableError, SkipReason, UnextractableError
from distributed.formats import open_checkpoint
from distributed.formats.range_plan import batches, merge_ranges
from distributed.formats.remembered import Remembered
from distributed.formats.safetensors_file import SafetensorsCheckpoint
from distributed.formats.safetensors_header import DTYPES
from tests.distributed.formats.helpers import CountingFile, open_paths, refused, safetensors_bytes
from tests.tensors import read

UNREADABLE = SkipReason.UNREADABLE


def entry(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def write(path: Path, header: object, data: bytes = b"") -> Path:
    path.write_bytes(safetensors_bytes(header, data))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_every_dtype_the_writer_knows_comes_back_bit_for_bit(file: Path) -> None:
    bits = torch.arange(48, dtype=torch.uint8)
    dtypes = [getattr(torch, name) for width, name in DTYPES.values() if name is not None and width % 8 == 0]
    tensors = {
        str(d): (bits % 2).bool().reshape(2, 24) if d is torch.bool else bits.clone().view(d).reshape(2, -1)
        for d in dtypes
    }
    safetensors.torch.save_file(tensors, file)
    assert len(tensors) >= 18
    with open_paths(file) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert {e.name: (e.shape, f"torch.{e.dtype}") for e in checkpoint.entries} == {
            name: (tuple(t.shape), str(t.dtype)) for name, t in tensors.items()
        }
        for name, tensor in read(checkpoint, list(tensors)):
            assert tensor.dtype is tensors[name].dtype
            assert torch.equal(tensor.view(torch.uint8), tensors[name].view(torch.uint8))


def test_four_bit_pairs_and_types_torch_lacks(file: Path) -> None:
    header = {"four": entry("F4", [2, 4], 0, 4), "six": entry("F6_E2M3", [4], 4, 7)}
    write(file, header, bytes(range(7)))
    with open_paths(file) as checkpoint:
        ((_, four),) = read(checkpoint, ["four"])
        assert four.view(torch.uint8).flatten().tolist() == [0, 1, 2, 3]
        with pytest.raises(UnextractableError, match="F6_E2M3"):
            list(read(checkpoint, ["six"]))


def test_a_single_file_is_in_natural_order_and_says_that_the_order_is_not_known(file: Path) -> None:
    names = ["conv1.weight", "conv2.weight", "conv10.weight", "layer2.0.a", "layer10.0.a"]
    safetensors.torch.save_file({name: torch.ones(i + 1) for i, name in enumerate(reversed(names))}, file)
    checkpoint = open_paths(file)
    assert [e.name for e in checkpoint.entries] == names
    assert not checkpoint.order_known


def test_only_the_asked_bytes_are_read(tmp_path: Path, file: Path) -> None:
    tensors = {f"t{i}": torch.randn(64, 64, 4) for i in range(40)}
    safetensors.torch.save_file(tensors, file)
    source = CountingFile(file, file.name)
    checkpoint = open_checkpoint([source])
    header_bytes = source.bytes_read
    assert header_bytes <= 64 * 1024
    wanted = ["t3", "t30", "t4", "t17"]
    got = dict(read(checkpoint, wanted))
    assert list(got) == wanted
    assert all(torch.equal(got[name], tensors[name]) for name in wanted)
    asked = 4 * 64 * 64 * 4 * 4
    assert asked <= source.bytes_read - header_bytes <= 1.05 * asked
    assert len(source.calls) == 2


def test_a_header_longer_than_the_first_read_takes_one_more(file: Path) -> None:
    tensors = {f"a.long.name.of.tensor.{i:05d}": torch.full((1,), float(i)) for i in range(1500)}
    safetensors.torch.save_file(tensors, file)
    source = CountingFile(file, file.name)
    checkpoint = open_checkpoint([source])
    assert [len(call) for call in source.calls] == [1, 1]
    assert len(checkpoint.entries) == 1500
    ((_, last),) = read(checkpoint, ["a.long.name.of.tensor.01499"])
    assert last.item() == 1499.0


def test_memory_is_bounded_by_batches(file: Path) -> None:
    tensors = {f"t{i}": torch.randn(2**16) for i in range(10)}
    safetensors.torch.save_file(tensors, file)
    source = CountingFile(file, file.name)
    checkpoint = SafetensorsCheckpoint([Remembered(source)], batch_bytes=3 * 2**18)
    tensors_read = read(checkpoint, [f"t{i}" for i in range(10)])
    next(tensors_read)
    assert len(source.calls) == 2  # the header, and the first batch alone
    assert len(list(tensors_read)) == 9
    head, first, *others = [sum(b - a for a, b in call) for call in source.calls]
    assert others == [3 * 2**18, 3 * 2**18, 2**18]
    assert head + first + sum(others) == source.size  # nothing twice


def test_a_short_answer_is_retryable(file: Path) -> None:
    safetensors.torch.save_file({"t": torch.ones(2**16)}, file)

    class Short(CountingFile):
        def read_ranges(self, ranges):  # type: ignore[no-untyped-def]
            data = super().read_ranges(ranges)
            return data if len(self.calls) == 1 else [part[:-1] for part in data]

    checkpoint = open_checkpoint([Short(file, file.name)])
    with pytest.raises(RetryableError, match="bytes came for the range"):
        list(read(checkpoint, ["t"]))


class TestShards:
    def write(self, folder: Path, names: list[str]) -> list[Path]:
        half = len(names) // 2
        shards = {"a.safetensors": names[:half], "b.safetensors": names[half:]}
        for shard, members in shards.items():
            safetensors.torch.save_file({n: torch.full((2,), float(names.index(n))) for n in members}, folder / shard)
        weight_map = {n: next(s for s, members in shards.items() if n in members) for n in names}
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        return [index, folder / "a.safetensors", folder / "b.safetensors"]

    def test_the_index_gives_the_order_of_definition(self, tmp_path: Path) -> None:
        names = ["stem.weight", "body.weight", "head.weight", "aux.weight"]
        checkpoint = open_paths(*self.write(tmp_path, names))
        assert [e.name for e in checkpoint.entries] == names
        assert checkpoint.order_known
        assert [t[0].item() for _, t in read(checkpoint, names[::-1])] == [3, 2, 1, 0]

    def test_an_alphabetical_index_knows_no_order(self, tmp_path: Path) -> None:
        checkpoint = open_paths(*self.write(tmp_path, ["conv1", "conv10", "conv2", "stem"]))
        assert [e.name for e in checkpoint.entries] == ["conv1", "conv2", "conv10", "stem"]
        assert not checkpoint.order_known

    def test_shards_without_an_index(self, tmp_path: Path) -> None:
        _, a, b = self.write(tmp_path, ["x2", "x1", "x11", "x3"])
        assert [e.name for e in open_paths(a, b).entries] == ["x1", "x2", "x3", "x11"]

    def test_a_missing_shard_and_a_missing_tensor(self, tmp_path: Path) -> None:
        index, a, b = self.write(tmp_path, ["d", "c", "b", "a"])
        with pytest.raises(UnextractableError, match=r"names a shard that is missing .*b\.safetensors"):
            open_paths(index, a)
        safetensors.torch.save_file({"b": torch.ones(1)}, b)
        with pytest.raises(UnextractableError, match=r"b\.safetensors: 'a': tensor of the index is not in its shard"):
            open_paths(index, a, b)

    def test_an_index_of_another_time(self, tmp_path: Path) -> None:
        index, a, b = self.write(tmp_path, ["d", "c", "b", "a"])
        weight_map = {"d": b.name, "c": a.name, "b": b.name}
        index.write_text(json.dumps({"weight_map": weight_map}))
        with open_paths(index, a, b) as checkpoint:
            assert [e.name for e in checkpoint.entries] == ["d", "c", "b"]
            assert [t[0].item() for _, t in read(checkpoint, ["d", "c", "b"])] == [0, 1, 2]
            assert checkpoint.notes == (
                "the shard index is stale: 1 tensors are in other shards than it says",
                "left out 1 tensors that the shard index does not list",
            )

    def test_one_tensor_in_two_shards(self, tmp_path: Path) -> None:
        for name in ("a.safetensors", "b.safetensors"):
            safetensors.torch.save_file({"t": torch.ones(1)}, tmp_path / name)
        with pytest.raises(UnextractableError, match="tensor is in two shards"):
            open_paths(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


class TestHostileHeaders:
    def test_truncated_data(self, file: Path) -> None:
        safetensors.torch.save_file({"t": torch.ones(100)}, file)
        file.write_bytes(file.read_bytes()[:-10])
        refused(file, UNREADABLE, "truncated", "expected", "found")

    def test_truncated_header_and_too_few_bytes(self, file: Path) -> None:
        file.write_bytes(struct.pack("<Q", 1000) + b'{"t"')
        refused(file, UNREADABLE, "truncated safetensors header", "1008 bytes", "found 12 bytes")
        file.write_bytes(b"\x01\x02")
        refused(file, UNREADABLE, "at least 8 bytes")

    def test_header_length_of_two_to_the_sixty(self, file: Path) -> None:
        file.write_bytes(struct.pack("<Q", 2**60) + b'{"t":' + bytes(100))
        refused(file, UNREADABLE, "header too long", str(2**60), "100000000")

    @pytest.mark.parametrize(
        ("header", "data", "words"),
        [
            ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, 12, ("'b'", "tensors overlap")),
            ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 12, 20)}, 20, ("'b'", "hole")),
            ({"a": entry("F32", [2], 0, 8)}, 12, ("bytes after the last tensor",)),
            ({"a": entry("F32", [3], 0, 8)}, 8, ("'a'", "do not fit", "12 bytes")),
            ({"a": entry("F31", [2], 0, 8)}, 8, ("unknown dtype", "'F31'")),
            ({"a": entry("F32", [-2], 0, 8)}, 8, ("malformed shape",)),
            ({"a": entry("F32", [2**62, 2**62, 2**62], 0, 8)}, 8, ("do not fit",)),
            ({"a": entry("F32", [2], 8, 0)}, 8, ("do not fit",)),
            ({"a": {"dtype": "F32"}}, 0, ("malformed header entry",)),
            ({"a": {**entry("F32", [2], 0, 8), "data_offsets": [0.0, 8.0]}}, 8, ("malformed data_offsets",)),
            ([1, 2], 0, ("not a JSON object",)),
            (b'{"a": {', 0, ("not valid JSON",)),
            (b'{"a": "\xff"}', 0, ("not valid JSON",)),
            (b"[" * 50_000, 0, ("not valid JSON",)),
            (b'{"a":' + b"9" * 5000 + b"}", 0, ("not valid JSON",)),
            (b'{"a": 1, "a": 2}', 0, ("duplicate key 'a'",)),
        ],
    )
    def test_contradictions(self, file: Path, header: object, data: int, words: tuple[str, ...]) -> None:
        write(file, header, bytes(data))
        refused(file, UNREADABLE, *words)

    def test_the_place_names_the_tensor(self, file: Path) -> None:
        write(file, {"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12))
        error = refused(file, UNREADABLE)
        assert error.place.tensor == "b"
        assert error.place.expected == "data at offset 8"
        assert error.place.found == "offset 4"

    def test_zero_size_tensors_are_read(self, file: Path) -> None:
        safetensors.torch.save_file({"z": torch.ones(0, 3, 3, 3), "t": torch.ones(2)}, file)
        with open_paths(file) as checkpoint:
            got = dict(read(checkpoint, ["z", "t"]))
        assert got["z"].shape == (0, 3, 3, 3)
        assert got["t"].tolist() == [1, 1]


GOOD = safetensors_bytes({"a": entry("F32", [2, 2], 0, 16), "b": entry("F16", [3], 16, 22)}, bytes(range(22)))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=3)), min_size=1, max_size=4),
    cut=st.integers(0, len(GOOD)),
)
def test_mutated_files_are_read_or_refused_and_never_crash(
    tmp_path: Path, edits: list[tuple[int, bytes]], cut: int
) -> None:
    content = bytearray(GOOD)
    for position, replacement in edits:
        content[position : position + len(replacement)] = replacement
    if cut > 8:
        content = content[:cut] if cut % 3 == 0 else content
    file = tmp_path / "mutated.safetensors"
    file.write_bytes(content)
    try:
        with open_paths(file) as checkpoint:
            for name, tensor in read(checkpoint, [e.name for e in checkpoint.entries]):
                assert tensor.numel() * tensor.element_size() <= len(content), name
    except UnextractableError as caught:
        refusal = caught
    else:
        return
    assert refusal.place.file == file.name
    assert "\n" not in str(refusal)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 500)), max_size=30))
def test_merged_ranges_cover_what_is_asked_and_waste_little(pairs: list[tuple[int, int]]) -> None:
    ranges = [(start, start + length) for start, length in pairs]
    merged = merge_ranges(ranges)
    asked = {byte for start, stop in ranges for byte in range(start, stop)}
    fetched = [byte for start, stop in merged for byte in range(start, stop)]
    assert len(fetched) == len(set(fetched))
    assert asked <= set(fetched)
    assert len(fetched) - len(asked) <= 0.05 * len(asked)
    assert merged == sorted(merged)


def test_the_cheapest_gaps_are_merged_first() -> None:
    # 300 bytes asked allow 15 of waste: the gap of 5 and that of 6, not that of 14.
    assert merge_ranges([(0, 75), (89, 164), (169, 244), (250, 325)]) == [(0, 75), (89, 325)]


@given(st.lists(st.integers(0, 100), max_size=40), st.integers(1, 150))
def test_batches_partition_in_order(sizes: list[int], limit: int) -> None:
    parts = list(batches(sizes, limit))
    assert [i for part in parts for i in part] == list(range(len(sizes)))
    assert all(len(part) == 1 or sum(sizes[i] for i in part) <= limit for part in parts)
