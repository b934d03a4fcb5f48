"""Byte sources: exact bytes from disk and from a real HTTP server, and each thing that can go wrong on the way."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download
from safetensors import safe_open

from distributed.bytes import LocalFile, open_sources
from distributed.bytes import client as client_module
from distributed.bytes import remote as remote_module
from distributed.bytes.remote import HubFile
from distributed.errors import FilterShiftError, RetryableError, SkipReason, UnextractableError
from distributed.formats.base import ByteSource
from distributed.sources import list_references
from distributed.sources.settings import HubSettings, LocalSettings
from tests.distributed.sources.models import weights, write_model, write_shards
from tests.loopback_hub import Fault, FaultKind, LoopbackHub

RANGES = [(10, 20), (0, 8), (500, 500), (100, 2000)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(remote_module, "FIRST_WAIT_SECONDS", 0.05)


@pytest.fixture
def model(hub: LoopbackHub) -> Path:
    """The weight file of the one repository, ``samples/net``."""
    return write_model(hub.root / "net") / "model.safetensors"


def hub_file(hub: LoopbackHub, scratch: Path, **changes: object) -> HubFile:
    """``samples/net``'s weights as the Hub lists them, or with something changed."""
    repo = hub.repo("samples/net")
    assert repo is not None
    file = repo.files["model.safetensors"]
    known = {"revision": repo.sha, "path": file.path, "size": file.size, "sha256": file.sha256} | changes
    return HubFile("samples/net", scratch=scratch, **known)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("cdn", [False, True])
def test_hub_ranges_are_exact_and_only_they_are_sent(hub: LoopbackHub, model: Path, tmp_path: Path, cdn: bool) -> None:
    hub.cdn = cdn
    content = model.read_bytes()
    source: ByteSource = hub_file(hub, tmp_path)
    assert source.read_ranges(RANGES) == [content[a:b] for a, b in RANGES]
    assert source.bytes_read == sum(b - a for a, b in RANGES)
    assert source.read_ranges([(0, source.size)]) == [content]
    assert source.read_ranges([]) == []
    asked = [each.headers["range"] for each in hub.sent("GET", "cdn" if cdn else "hub") if "range" in each.headers]
    assert sorted(asked) == sorted([f"bytes={a}-{b - 1}" for a, b in RANGES if a < b] + [f"bytes=0-{len(content) - 1}"])


def test_token_goes_to_the_hub_and_to_no_other_host(
    hub: LoopbackHub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cdn, hub.token, hub.gated = True, "hf_secret", frozenset({"samples/net"})
    source = hub_file(hub, tmp_path)
    with pytest.raises(UnextractableError, match=r"samples/net@.*: gated: ask for access") as caught:
        source.read_ranges([(0, 8)])
    assert caught.value.reason is SkipReason.GATED
    assert pickle.loads(pickle.dumps(caught.value)).reason is SkipReason.GATED
    with pytest.raises(UnextractableError, match="gated"):
        source.local_path()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert source.read_ranges([(0, 8)]) == [model.read_bytes()[:8]]
    assert source.local_path().read_bytes() == model.read_bytes()
    served = hub.sent("GET", "cdn")
    assert served
    assert not any("authorization" in each.headers for each in served)
    assert any(each.headers.get("authorization") == "Bearer hf_secret" for each in hub.sent("GET", "hub"))


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.CUT_BODY,
        FaultKind.SHORT_BODY,
        FaultKind.IGNORED_RANGE,
        FaultKind.WRONG_OFFSET,
        FaultKind.WRONG_SIZE,
        FaultKind.UNAVAILABLE,
        FaultKind.TOO_MANY,
        FaultKind.RESET,
    ],
)
def test_one_wrong_answer_is_asked_again(hub: LoopbackHub, model: Path, tmp_path: Path, kind: FaultKind) -> None:
    hub.faults.append(Fault(kind))
    assert hub_file(hub, tmp_path).read_ranges([(64, 1064)]) == [model.read_bytes()[64:1064]]
    assert len(hub.sent("GET .*resolve")) == 2


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (FaultKind.CUT_BODY, r"the body broke off after \d+ bytes"),
        (FaultKind.SHORT_BODY, "expected 1000 bytes, got 500 bytes"),
        (FaultKind.IGNORED_RANGE, "expected status 206, got 200: the server ignores Range"),
        (FaultKind.WRONG_OFFSET, "expected Content-Range bytes 64-1063/.*, got bytes 65-1064/"),
        (FaultKind.WRONG_SIZE, "expected a file of"),
    ],
)
def test_wrong_bytes_never_pass_for_right_ones(
    hub: LoopbackHub, model: Path, tmp_path: Path, kind: FaultKind, said: str
) -> None:
    hub.faults.append(Fault(kind, times=99))
    with pytest.raises(
        RetryableError, match=rf"samples/net@.*/model\.safetensors: bytes 64-1063 asked 3 times, {said}"
    ):
        hub_file(hub, tmp_path).read_ranges([(64, 1064)])


@pytest.mark.parametrize("kind", [FaultKind.UNAVAILABLE, FaultKind.RESET])
def test_a_hub_that_stays_down_is_retryable(
    hub: LoopbackHub, model: Path, tmp_path: Path, kind: FaultKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "RETRIES", 1)
    hub.faults.append(Fault(kind, times=99))
    with pytest.raises(RetryableError, match="samples/net@"):
        hub_file(hub, tmp_path).read_ranges([(0, 8)])


def test_a_silent_hub_is_retryable_after_the_timeout(
    hub: LoopbackHub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "RETRIES", 0)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    hub.faults.append(Fault(FaultKind.SILENCE))
    start = time.monotonic()
    with pytest.raises(RetryableError, match="timed out"):
        hub_file(hub, tmp_path).read_ranges([(0, 8)])
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("changes", [{"path": "no.safetensors"}, {"revision": "0" * 40}])
def test_missing_files_and_revisions_are_skips(
    hub: LoopbackHub, model: Path, tmp_path: Path, changes: dict[str, str]
) -> None:
    source = hub_file(hub, tmp_path, **changes)
    for work in (lambda: source.read_ranges([(0, 8)]), source.local_path):
        with pytest.raises(UnextractableError, match="no such") as caught:
            work()
        assert caught.value.reason is SkipReason.NOT_FOUND
        assert "\n" not in str(caught.value)


def test_whole_files_are_verified_and_kept_out_of_the_cache(hub: LoopbackHub, model: Path, tmp_path: Path) -> None:
    source = hub_file(hub, tmp_path / "scratch")
    path = source.local_path()
    assert path.read_bytes() == model.read_bytes()
    assert path.is_relative_to(tmp_path / "scratch")
    assert source.bytes_read == source.size
    before = len(hub.requests)
    assert source.local_path() == path
    assert len(hub.requests) == before
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    with safe_open(path, "pt") as opened:
        assert set(opened.keys()) == set(weights())


def test_the_users_cache_is_used_if_its_content_is_right(hub: LoopbackHub, model: Path, tmp_path: Path) -> None:
    repo = hub.repo("samples/net")
    assert repo is not None
    cached = Path(hf_hub_download("samples/net", "model.safetensors", revision=repo.sha, endpoint=hub.endpoint))
    assert cached.is_relative_to(tmp_path / "home")
    before = len(hub.requests)
    assert hub_file(hub, tmp_path / "scratch").local_path() == cached
    assert len(hub.requests) == before
    content = bytearray(cached.read_bytes())
    content[-1] ^= 1
    cached.resolve().write_bytes(content)
    fresh = hub_file(hub, tmp_path / "scratch").local_path()
    assert fresh != cached
    assert fresh.read_bytes() == model.read_bytes()


def test_content_that_is_not_what_the_hub_lists_is_refused(hub: LoopbackHub, model: Path, tmp_path: Path) -> None:
    hub.faults.append(Fault(FaultKind.WRONG_BYTES))
    source = hub_file(hub, tmp_path)
    with pytest.raises(RetryableError, match=r"expected SHA-256 .*, got .*: the download is damaged"):
        source.local_path()
    assert source.local_path().read_bytes() == model.read_bytes()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 16 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.filterwarnings("ignore:Not enough free disk space")  # the client's own notice of it
def test_a_full_disk_is_retryable_and_names_the_folder(hub: LoopbackHub, tmp_path: Path, tiny_disk: Path) -> None:
    big = write_model(hub.root / "net") / "model.safetensors"
    big.write_bytes(os.urandom(100_000))
    with pytest.raises(RetryableError, match=f"no space left in {tiny_disk} for samples/net@"):
        hub_file(hub, tiny_disk).local_path()


def test_a_full_disk_error_of_any_origin(tmp_path: Path) -> None:
    error = client_module.error_from_hub(OSError(errno.ENOSPC, "No space left"), "a/b@c/d", "d", tmp_path)
    assert isinstance(error, RetryableError)
    assert str(tmp_path) in str(error)
    assert "\n" not in str(error)


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


def test_threads_share_the_client_through_a_failed_connection(hub: LoopbackHub, model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    ranges = [(i * 50, i * 50 + 50) for i in range(40)]
    hub.faults.append(Fault(FaultKind.RESET, times=3, after=5))
    assert hub_file(hub, tmp_path).read_ranges(ranges) == [content[a:b] for a, b in ranges]


def test_offline_mode_is_said(hub: LoopbackHub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = hub_file(hub, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for work in (lambda: source.read_ranges([(0, 8)]), source.local_path):
        with pytest.raises(FilterShiftError, match="HF_HUB_OFFLINE is set"):
            work()
