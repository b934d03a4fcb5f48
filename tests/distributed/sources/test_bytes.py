"""Byte sources: exact bytes from disk, and the choice between disk and Hub (whose files: ``tests/distributed/hub``)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from distributed.byte_sources import open_sources
from distributed.errors import RetryableError, SkipReason, UnextractableError
from distributed.formats.base import ByteSource
from distributed.local_files import LocalFile
from distributed.sources import list_references
from distributed.sources.settings import HubSettings, LocalSettings
from tests.distributed.sources.models import write_shards
from tests.loopback_hub import LoopbackHub

RANGES = [(10, 20), (0, 8), (500, 500), (100, 2000)]


def test_local_ranges_and_digest(tmp_path: Path) -> None:
    content = os.urandom(5000)
    (tmp_path / "a.bin").write_bytes(content)
    source: ByteSource = LocalFile(tmp_path / "a.bin", "a.bin")
    assert source.size == 5000
    assert source.read_ranges(RANGES) == [content[a:b] for a, b in RANGES]
    assert source.bytes_read == sum(b - a for a, b in RANGES)
    assert source.local_path().read_bytes() == content
    assert source.bytes_read == 5000
    assert LocalFile(tmp_path / "a.bin", "a.bin").sha256() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("bad", [(0, 5001), (-1, 3), (30, 20), (2**60, 2**60 + 8)])
def test_ranges_outside_the_file_are_a_property_of_the_input(tmp_path: Path, bad: tuple[int, int]) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(5000))
    with pytest.raises(UnextractableError, match=r"a\.bin: bytes .* outside the file of 5000 bytes") as caught:
        LocalFile(tmp_path / "a.bin", "a.bin").read_ranges([bad])
    assert caught.value.reason is SkipReason.UNREADABLE
    assert "5000 bytes" in str(caught.value.place.found)


def test_local_file_gone_shrunk_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UnextractableError, match="no such file any more") as caught:
        LocalFile(tmp_path / "gone.pth", "gone.pth")
    assert caught.value.reason is SkipReason.NOT_FOUND
    (tmp_path / "a.bin").write_bytes(bytes(100))
    source = LocalFile(tmp_path / "a.bin", "a.bin")
    (tmp_path / "a.bin").write_bytes(bytes(10))
    with pytest.raises(RetryableError, match="ends at byte 10, expected 100 bytes"):
        source.read_ranges([(0, 50)])
    with pytest.raises(UnextractableError, match="is a folder"):
        LocalFile(tmp_path, "x")


def test_local_file_without_permission(open_folder: Path, request: pytest.FixtureRequest) -> None:
    path = open_folder / "secret.pth"
    path.write_bytes(b"x")
    path.chmod(0)
    request.getfixturevalue("as_nobody")
    with pytest.raises(UnextractableError, match="no permission to read") as caught:
        LocalFile(path, "secret.pth")
    assert caught.value.reason is SkipReason.UNREADABLE


def test_open_sources_gives_every_file_of_a_reference(hub: LoopbackHub, tmp_path: Path) -> None:
    write_shards(hub.root / "sharded")
    [remote] = list_references(HubSettings(repos=("samples/sharded",)))
    [local] = list_references(LocalSettings(str(hub.root)))
    far, near = open_sources(remote, tmp_path), open_sources(local, tmp_path)
    assert [each.name for each in far] == [
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert [each.name for each in near] == [f"sharded/{each.name}" for each in far]
    for one, other in zip(far, near, strict=True):
        assert one.size == other.size
        assert one.read_ranges([(0, one.size)]) == other.read_ranges([(0, one.size)])
        assert one.local_path().read_bytes() == other.local_path().read_bytes()
    assert {each.local_path().parent for each in far} == {far[0].local_path().parent}
