"""Zip checkpoints by ranges: what is asked for, how much it is, and what the archive may not claim."""

from __future__ import annotations

import itertools
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distributed.errors import SkipReason, UnextractableError
from distributed.formats import open_checkpoint
from tests.distributed.formats.helpers import Served, open_paths, refused
from tests.distributed.formats.pickles import entries, tensor, whole

UNREADABLE = SkipReason.UNREADABLE
HEAD = TAIL = 64 * 1024


def saved(path: Path, tree: object, **options: object) -> Served:
    torch.save(tree, path, **options)
    return Served(path, path.name)


def network(convolutions: int, others: int) -> dict[str, torch.Tensor]:
    tree = {}
    for index in range(max(convolutions, others)):
        if index < others:
            tree[f"{index}.fc.weight"] = torch.randn(500, 500)
        if index < convolutions:
            tree[f"{index}.conv.weight"] = torch.randn(64, 64, 3, 3)
    return tree


def again(path: Path, compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> Served:
    """The same members as another zip program writes them."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(name, data)
    return Served(path, path.name)


def test_what_has_no_convolution_costs_its_directory_and_pickle(tmp_path: Path) -> None:
    source = saved(tmp_path / "m.bin", network(0, 30))
    assert source.size > 30_000_000
    with open_checkpoint([source]) as checkpoint:
        assert len(checkpoint.entries) == 30
    assert source.calls == [[(0, HEAD)], [(source.size - TAIL, source.size)]]
    assert not source.is_whole


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_only_the_storages_needed_are_read(tmp_path: Path, compression: int) -> None:
    tree = network(8, 8)
    source = saved(tmp_path / "m.bin", tree)
    if compression:
        source = again(tmp_path / "m.bin", compression)
    wanted = [name for name in tree if "conv" in name]
    with open_checkpoint([source]) as checkpoint:
        found = dict(checkpoint.read(wanted))
    assert list(found) == wanted
    assert all(torch.equal(found[name], tree[name]) for name in wanted)
    assert len(source.calls) == 3
    assert len(source.calls[2]) == 8  # what lies between them is too much to be fetched with them
    assert source.bytes_read < HEAD + TAIL + 1.05 * sum(tree[name].nbytes for name in wanted)
    assert not source.is_whole


def test_neighbours_are_one_range(tmp_path: Path) -> None:
    tree = network(8, 0)
    source = saved(tmp_path / "m.bin", tree)
    with open_checkpoint([source]) as checkpoint:
        assert len(list(checkpoint.read(list(tree)))) == 8
    assert [len(call) for call in source.calls] == [1, 1, 1]
    assert source.bytes_read < 1.01 * source.size  # nothing twice


def test_of_a_long_storage_only_the_part_that_is_a_tensor(tmp_path: Path) -> None:
    flat = torch.arange(2_000_000.0)
    views = {f"{i}.weight": flat[i * 200_000 : i * 200_000 + 576].view(8, 8, 3, 3) for i in range(10)}
    source = saved(tmp_path / "m.bin", views)
    with open_checkpoint([source]) as checkpoint:
        ((_, found),) = checkpoint.read(["7.weight"])
        assert torch.equal(found, views["7.weight"])
        read = source.bytes_read
        ((_, found),) = checkpoint.read(["8.weight"])
        assert torch.equal(found, views["8.weight"])
    assert HEAD + TAIL + 576 * 4 <= read <= HEAD + TAIL + 576 * 4 + 1024  # its local header, and what it may add
    assert source.bytes_read - read == 576 * 4


def test_a_tensor_larger_than_a_batch_and_many_small(tmp_path: Path) -> None:
    tree = {"large": torch.randn(20_000_000), "a": torch.randn(3, 3), "b": torch.randn(4_000_000), "c": torch.ones(2)}
    source = saved(tmp_path / "m.bin", tree)
    with open_checkpoint([source]) as checkpoint:
        for name, found in checkpoint.read(list(tree)):
            assert torch.equal(found, tree[name])
    assert max(sum(stop - start for start, stop in call) for call in source.calls) < 1.1 * 80_000_000


def test_a_directory_longer_than_the_tail_and_a_pickle_longer_than_the_head(tmp_path: Path) -> None:
    tree = {f"block.with.a.long.name.{i:05d}.weight": torch.full((40,), float(i)) for i in range(1500)}
    source = saved(tmp_path / "m.bin", tree)
    with open_checkpoint([source]) as checkpoint:
        assert len(checkpoint.entries) == 1500
    assert len(source.calls) == 4
    assert sum(len(call) for call in source.calls) == 4
    asked = sorted(range_ for call in source.calls for range_ in call)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(asked))  # nothing twice


def test_a_directory_of_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.bin"
    tree = network(2, 1)
    torch.save(tree, path)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # as for 65 536 members
    source = again(path)
    assert b"PK\x06\x06" in path.read_bytes()
    with open_checkpoint([source]) as checkpoint:
        found = dict(checkpoint.read(list(tree)))
    assert all(torch.equal(found[name], tree[name]) for name in tree)
    assert source.bytes_read < 1.01 * source.size


def test_a_comment_longer_than_the_tail(tmp_path: Path) -> None:
    tree = network(2, 0)
    torch.save(tree, tmp_path / "m.bin")
    source = again(tmp_path / "m.bin", comment=b"x" * 65_535)
    with open_checkpoint([source]) as checkpoint:
        assert torch.equal(dict(checkpoint.read(["1.conv.weight"]))["1.conv.weight"], tree["1.conv.weight"])


def test_weights_in_a_long_pickle_are_fetched_as_a_whole_file(tmp_path: Path) -> None:
    arrays = {f"{i}.weight": torch.randn(64, 64, 60, 60).numpy() for i in range(2)}
    source = saved(tmp_path / "m.bin", arrays)
    with open_checkpoint([source]) as checkpoint:
        ((_, found),) = checkpoint.read(["1.weight"])
        assert (found.numpy() == arrays["1.weight"]).all()
    assert source.is_whole
    assert max(stop - start for call in source.calls for start, stop in call) == HEAD


def test_legacy_files_are_fetched_whole(tmp_path: Path) -> None:
    tree = network(2, 2)
    source = saved(tmp_path / "m.bin", tree, _use_new_zipfile_serialization=False)
    with open_checkpoint([source]) as checkpoint:
        assert torch.equal(dict(checkpoint.read(["1.conv.weight"]))["1.conv.weight"], tree["1.conv.weight"])
    assert source.is_whole
    assert source.calls == [[(0, HEAD)]]


#: What a forger changes in the directory, and in which words it is refused.
Change = Callable[[bytearray, int], None]


def directory_of(content: bytearray, name: bytes) -> int:
    """Where the directory describes a member."""
    place = content.rindex(name)
    return place - 46


def larger(content: bytearray, entry: int) -> None:
    size = struct.unpack_from("<I", content, entry + 24)[0]
    struct.pack_into("<II", content, entry + 20, size + 64, size + 64)


def over_another(content: bytearray, entry: int) -> None:
    struct.pack_into("<I", content, entry + 42, 0)


def into_another(content: bytearray, entry: int) -> None:
    place = struct.unpack_from("<I", content, entry + 42)[0]
    struct.pack_into("<I", content, entry + 42, place - 50)


def encrypted(content: bytearray, entry: int) -> None:
    content[entry + 8] |= 1


def two_sizes(content: bytearray, entry: int) -> None:
    struct.pack_into("<I", content, entry + 24, 8)


def without_header(content: bytearray, entry: int) -> None:
    place = struct.unpack_from("<I", content, entry + 42)[0]
    content[place] ^= 1


def of_another_name(content: bytearray, entry: int) -> None:
    place = struct.unpack_from("<I", content, entry + 42)[0]
    content[place + 30] ^= 1


def far_away(content: bytearray, entry: int) -> None:
    """The local header says that its data begins where the next member is."""
    place = struct.unpack_from("<I", content, entry + 42)[0]
    struct.pack_into("<H", content, place + 28, 60_000)


LIES: dict[Change, str] = {
    larger: "is truncated, or another one lies in it",
    over_another: "is truncated, or another one lies in it",
    into_another: "is truncated, or another one lies in it",
    encrypted: "is encrypted",
    two_sizes: "is stored with two sizes",
    without_header: "has no local header",
    of_another_name: "has another name in its local header",
    far_away: "reaches into the next",
}


@pytest.mark.usefixtures("each_source")
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@pytest.mark.parametrize("member", [b"m/data.pkl", b"m/data/0"], ids=["pickle", "storage"])
def test_an_archive_that_lies(tmp_path: Path, lie: Change, member: bytes) -> None:
    path = tmp_path / "m.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/version", b"3" * 100)
        archive.writestr("m/data.pkl", whole(entries(conv=tensor())))
        archive.writestr("m/data/0", struct.pack("<9f", *range(9)))
    content = bytearray(path.read_bytes())
    lie(content, directory_of(content, member))
    path.write_bytes(content)
    with pytest.raises(UnextractableError) as caught, open_paths(path) as checkpoint:
        list(checkpoint.read([entry.name for entry in checkpoint.entries]))
    assert caught.value.reason is UNREADABLE
    assert caught.value.place.file == "m.pth"
    assert LIES[lie] in str(caught.value)


@pytest.mark.usefixtures("each_source")
def test_a_directory_without_end_is_not_fetched(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, 150_000_000, 10, 0)
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(150_000_010)
        file.seek(0, 2)
        file.write(end)
    refused(path, UNREADABLE, "truncated or damaged zip archive", "a directory of 150000000 bytes")
