from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributed.errors import SkipReason, UnextractableError
from tests.distributed.formats.helpers import open_paths, refused

UNREADABLE, UNSAFE = SkipReason.UNREADABLE, SkipReason.UNSAFE_PICKLE
KINDS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(tree: object, path: Path, zipped: bool = True, **options: Any) -> Path:
    torch.save(tree, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def rewrite(path: Path, change: dict[str, bytes], **options: Any) -> None:
    """Write a zip checkpoint again with other members' bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members |= {name: data for name, data in change.items() if data}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@KINDS
@pytest.mark.parametrize("suffix", ["pth", "pt", "th", "bin", "tar", "ckpt"])
def test_tensors_come_back_as_saved_in_order(tmp_path: Path, zipped: bool, suffix: str) -> None:
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool)
    tree = {f"z{9 - i}.weight": torch.randn(4, 3, 3, 3).to(dtype) for i, dtype in enumerate(dtypes)}
    if zipped:
        tree["float8.weight"] = torch.randn(4, 3).to(torch.float8_e4m3fn)
    tree["strided.weight"] = torch.randn(8, 6)[::2, 1:4]
    with open_paths(save(tree, tmp_path / f"model.{suffix}", zipped)) as checkpoint:
        assert checkpoint.format == "torch"
        assert checkpoint.order_known
        assert checkpoint.graph is None
        assert [(e.name, e.shape, f"torch.{e.dtype}") for e in checkpoint.entries] == [
            (name, tuple(t.shape), str(t.dtype)) for name, t in tree.items()
        ]
        for name, tensor in checkpoint.read(list(reversed(tree))):
            assert tensor.dtype is tree[name].dtype
            assert torch.equal(tensor, tree[name])


@KINDS
def test_module_state_with_parameters_and_metadata(tmp_path: Path, zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    tree = {"state_dict": module.state_dict(), "extra": torch.nn.Parameter(torch.ones(2, 2))}
    with open_paths(save(tree, tmp_path / "m.pth", zipped)) as checkpoint:
        names = [e.name for e in checkpoint.entries]
        assert names == [*(f"state_dict.{n}" for n in module.state_dict()), "extra"]
        assert all(not t.requires_grad for _, t in checkpoint.read(names))


@KINDS
def test_tied_tensors_count_once(tmp_path: Path, zipped: bool) -> None:
    shared = torch.randn(4, 3, 3, 3)
    tree = {"a.weight": shared, "b.weight": shared, "half.weight": shared[:2], "own.weight": shared.clone()}
    with open_paths(save(tree, tmp_path / "m.pth", zipped)) as checkpoint:
        assert [e.name for e in checkpoint.entries] == ["a.weight", "half.weight", "own.weight"]
        assert "counted 'b.weight' once: it is tied to 'a.weight'" in checkpoint.notes


def test_sparse_and_meta_tensors_are_left_out_with_a_note(tmp_path: Path) -> None:
    tree = {"a.weight": torch.ones(2), "s": torch.eye(3).to_sparse(), "m": torch.empty(2, device="meta")}
    with open_paths(save(tree, tmp_path / "m.pth")) as checkpoint:
        assert [e.name for e in checkpoint.entries] == ["a.weight"]
        assert set(checkpoint.notes) == {"left out 's': a sparse_coo tensor", "left out 'm': a meta tensor"}


def test_shards_by_index(tmp_path: Path) -> None:
    save({"z.weight": torch.ones(1), "a.weight": torch.ones(2)}, tmp_path / "pytorch_model-00001.bin")
    save({"b.weight": torch.ones(3)}, tmp_path / "pytorch_model-00002.bin", zipped=False)
    index = tmp_path / "pytorch_model.bin.index.json"
    weight_map = {
        "z.weight": "pytorch_model-00001.bin",
        "b.weight": "pytorch_model-00002.bin",
        "a.weight": "pytorch_model-00001.bin",
    }
    index.write_text(json.dumps({"weight_map": weight_map}))
    shards = sorted(tmp_path.glob("*.bin"))
    with open_paths(index, *shards) as checkpoint:
        assert [e.name for e in checkpoint.entries] == list(weight_map)
        assert checkpoint.order_known
        assert [t.numel() for _, t in checkpoint.read(["a.weight", "b.weight"])] == [2, 3]
    index.write_text(json.dumps({"weight_map": {**weight_map, "q": "pytorch_model-00002.bin"}}))
    with pytest.raises(UnextractableError, match=r"00002\.bin: 'q': tensor of the index is not in its shard"):
        open_paths(index, *shards)


class WritesAFile:
    """What a hostile checkpoint holds: unpickling it runs a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.target}",))


class TestUnsafe:
    @KINDS
    def test_a_pickle_that_would_write_a_file(self, tmp_path: Path, zipped: bool) -> None:
        target = tmp_path / "written"
        tree = {"conv.weight": torch.ones(1, 1, 3, 3), "x": WritesAFile(target)}
        error = refused(save(tree, tmp_path / "m.pth", zipped), UNSAFE, "posix.system", "nothing of it was run")
        assert error.place.found == "posix.system"
        assert not target.exists()

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_a_plain_pickle_that_would_write_a_file(self, tmp_path: Path, protocol: int) -> None:
        target = tmp_path / "written"
        path = tmp_path / "m.pth"
        path.write_bytes(pickle.dumps({"x": WritesAFile(target)}, protocol=protocol))
        refused(path, UNSAFE, "posix.system")
        assert not target.exists()

    @KINDS
    def test_a_whole_module_names_its_classes(self, tmp_path: Path, zipped: bool) -> None:
        path = save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), tmp_path / "m.pth", zipped)
        refused(path, UNSAFE, "torch.nn.modules.conv.Conv2d", "torch.nn.modules.container.Sequential")

    @KINDS
    def test_numpy_scalars_beside_the_weights(self, tmp_path: Path, zipped: bool) -> None:
        tree = {"state_dict": {"w": torch.ones(1)}, "loss": np.float64(0.5)}
        refused(save(tree, tmp_path / "m.pth", zipped), UNSAFE, "numpy", "scalar")

    def test_a_newer_pickle_protocol_is_named(self, tmp_path: Path) -> None:
        path = save({"w": torch.ones(1)}, tmp_path / "m.pth", pickle_protocol=4)
        refused(path, UNSAFE, "pickle protocol 4")

    def test_torchscript_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "m.pt"
        torch.jit.trace(torch.nn.Conv2d(1, 1, 3), torch.ones(1, 1, 4, 4)).save(path)
        refused(path, SkipReason.UNSUPPORTED_FORMAT, "TorchScript")

    def test_allowlisting_elsewhere_in_the_process_changes_nothing(self, tmp_path: Path) -> None:
        path = save({"x": WritesAFile(tmp_path / "written")}, tmp_path / "m.pth")
        with torch.serialization.safe_globals([(os.system, "posix.system")]):
            refused(path, UNSAFE, "posix.system")
        assert not (tmp_path / "written").exists()


def pickled_view(storage_elements: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """data.pkl of one float tensor, protocol 2, with claims of our choice."""

    def number(n: int) -> bytes:
        return (
            b"\x8a" + bytes([(n.bit_length() + 8) // 8]) + n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
        )

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(storage_elements)
    storage += b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + numbers(size) + numbers(stride)
    tensor += b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + text("conv.weight") + tensor + b"s."


class TestSizes:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return save({"conv.weight": torch.arange(9.0).reshape(1, 1, 3, 3)}, tmp_path / "m.pth")

    def test_the_forger_can_forge_a_good_one(self, path: Path) -> None:
        rewrite(path, {"m/data.pkl": pickled_view(9, (1, 1, 3, 3), (9, 9, 3, 1))})
        with open_paths(path) as checkpoint:
            ((_, tensor),) = checkpoint.read(["conv.weight"])
            assert tensor.flatten().tolist() == list(range(9))

    @pytest.mark.parametrize(
        ("storage", "size", "stride", "words"),
        [
            (9, (64, 64, 3, 3), (576, 9, 3, 1), "larger than its storage"),
            (9, (2**40, 1, 3, 3), (9, 9, 3, 1), "larger than its storage"),
            (9, (2**40, 2**20, 3, 3), (0, 0, 3, 1), "repeats its storage"),
            (10, (1, 1, 3, 3), (9, 9, 3, 1), "storage 0 is shorter than the pickle says"),
            (2**50, (1, 1, 3, 3), (9, 9, 3, 1), "storage 0 is larger than the file"),
            (9, (1, 1, -3, 3), (9, 9, 3, 1), "damaged or truncated pickle"),
        ],
    )
    def test_claims_that_cannot_be(
        self, path: Path, storage: int, size: tuple[int, ...], stride: tuple[int, ...], words: str
    ) -> None:
        rewrite(path, {"m/data.pkl": pickled_view(storage, size, stride)})
        refused(path, UNREADABLE, words)

    def test_constructors_that_only_take_memory(self, path: Path) -> None:
        bomb = b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R."
        rewrite(path, {"m/data.pkl": bomb})
        refused(path, UNREADABLE, "builtins.bytearray asks for more memory")

    def test_a_missing_record(self, path: Path) -> None:
        rewrite(path, {"m/data.pkl": pickled_view(9, (9,), (1,)).replace(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x007")})
        refused(path, UNREADABLE, "storage 7 is missing")

    def test_compressed_members(self, path: Path) -> None:
        rewrite(path, {"x": b""}, compression=zipfile.ZIP_DEFLATED)
        refused(path, UNREADABLE, "compressed", "expected stored members")

    def test_a_zip_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.pth"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("m/data.pkl", pickled_view(9, (9,), (1,)))
            archive.writestr("m/data/0", bytes(50_000_000))
        assert path.stat().st_size < 100_000
        refused(path, UNREADABLE, "zip bomb", "50000")

    @pytest.mark.parametrize("keep", [0.97, 0.7, 0.3, 0.05])
    @KINDS
    def test_truncated(self, tmp_path: Path, zipped: bool, keep: float) -> None:
        path = save({"a.weight": torch.randn(30, 30), "b.weight": torch.randn(50)}, tmp_path / "m.pth", zipped)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        refused(path, UNREADABLE, "truncated")

    def test_a_legacy_storage_of_another_length(self, tmp_path: Path) -> None:
        path = save({"a.weight": torch.zeros(16)}, tmp_path / "m.pth", zipped=False)
        content = bytearray(path.read_bytes())
        assert content[-72:-64] == (16).to_bytes(8, "little")
        content[-72:-64] = (2**40).to_bytes(8, "little")
        path.write_bytes(content)
        refused(path, UNREADABLE, "expected 16 elements", f"found {2**40} elements")

    def test_two_members_of_one_name(self, path: Path) -> None:
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr("m/data.pkl", b"\x80\x02}.")
        refused(path, UNREADABLE, "two members of one name")


def _good(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    tree = {"state_dict": {"conv.weight": torch.arange(18.0).reshape(2, 1, 3, 3), "bn": torch.ones(2)}, "epoch": 3}
    torch.save(tree, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


GOOD = {zipped: _good(zipped) for zipped in (True, False)}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zipped=st.booleans(), data=st.data())
def test_mutated_files_are_read_or_refused_and_never_crash(tmp_path: Path, zipped: bool, data: st.DataObject) -> None:
    content = bytearray(GOOD[zipped])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "mutated.pth"
    file.write_bytes(content)
    try:
        with open_paths(file) as checkpoint:
            for name, tensor in checkpoint.read([e.name for e in checkpoint.entries]):
                assert tensor.numel() * tensor.element_size() <= len(content), name
    except UnextractableError as caught:
        refusal = caught
    else:
        return
    assert refusal.place.file == file.name
    assert "\n" not in str(refusal)


@KINDS
def test_zero_size_and_scalar_tensors(tmp_path: Path, zipped: bool) -> None:
    tree = {"z.weight": torch.ones(0, 3, 3, 3), "n": torch.tensor(7), "a.weight": torch.ones(2), "y": torch.ones(0)}
    with open_paths(save(tree, tmp_path / "m.pth", zipped)) as checkpoint:
        assert [e.shape for e in checkpoint.entries] == [(0, 3, 3, 3), (), (2,), (0,)]
        assert [t.numel() for _, t in checkpoint.read(["y", "n", "a.weight"])] == [0, 1, 2]
