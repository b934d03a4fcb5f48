"""Whole files that several processes of a machine need at once, over real TCP and real locks."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distributed.errors import RetryableError
from distributed.hub.downloads import fetched_once
from distributed.hub.files import SMALL_BYTES, HubFile
from tests.loopback_hub import LoopbackHub

FILE = "model.safetensors"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def hub_file(hub: LoopbackHub, scratch: Path) -> HubFile:
    repo = hub.repo("samples/net")
    assert repo is not None
    file = repo.files[FILE]
    return HubFile("samples/net", repo.sha, file.path, file.size, file.sha256, scratch)


def large_file(hub: LoopbackHub) -> bytes:
    """The content of ``samples/net``'s weights; small files are not shared."""
    content = os.urandom(2 * SMALL_BYTES)
    (hub.root / "net").mkdir()
    (hub.root / "net" / FILE).write_bytes(content)
    return content


def locks(temporary: Path) -> list[Path]:
    return list(temporary.glob("*/downloads/*.lock"))


def test_it_is_fetched_once_and_stays_until_the_last_is_done(hub: LoopbackHub, temporary: Path) -> None:
    content = large_file(hub)
    scratches = [temporary / f"filter-shift-{number}" for number in range(4)]
    files = [hub_file(hub, scratch) for scratch in scratches]
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(HubFile.local_path, files))
    assert len({path.stat().st_ino for path in paths}) == 1
    assert sum(file.bytes_read for file in files) == len(content)
    assert all(path.is_relative_to(scratch) for path, scratch in zip(paths, scratches, strict=True))
    for scratch, path in zip(scratches, paths, strict=True):
        assert path.read_bytes() == content
        shutil.rmtree(scratch)
    assert locks(temporary) == []
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    again = hub_file(hub, temporary / "filter-shift-9")
    assert again.local_path().read_bytes() == content
    assert again.bytes_read == len(content)


def test_where_the_first_fails_the_next_fetches(temporary: Path) -> None:
    fetched = []

    def failing() -> Path:
        raise RetryableError("the network")

    def fetch() -> Path:
        fetched.append(1)
        (temporary / "b").mkdir(exist_ok=True)
        (temporary / "b" / "file").write_bytes(b"content")
        return temporary / "b" / "file"

    with pytest.raises(RetryableError):
        fetched_once("what", temporary / "a", failing, lambda path: True)
    assert fetched_once("what", temporary / "b", fetch, lambda path: True)[1]
    assert fetched == [1]
    assert locks(temporary) == []


def test_what_another_left_is_checked(hub: LoopbackHub, temporary: Path) -> None:
    content = large_file(hub)
    first = hub_file(hub, temporary / "first").local_path()
    first.write_bytes(content[:-1] + b"!")
    second = hub_file(hub, temporary / "second")
    assert second.local_path().read_bytes() == content
    assert second.bytes_read == len(content)
    assert first.read_bytes() != content


def test_a_lock_of_the_dead_holds_nobody_up(hub: LoopbackHub, temporary: Path) -> None:
    content = large_file(hub)
    hub_file(hub, temporary / "first").local_path()
    (folder,) = temporary.glob("*/downloads")
    (published,) = (temporary / "first").glob("*.whole")
    (folder / f"{published.stem}.lock").write_bytes(b"")
    assert hub_file(hub, temporary / "second").local_path().read_bytes() == content
    assert locks(temporary) == []
