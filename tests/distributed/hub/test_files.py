"""Files of the Hub over real TCP: exact bytes, few requests, and each thing that can go wrong on the way."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from distributed.errors import FilterShiftError, PermanentError, RetryableError, SkipReason, UnextractableError
from distributed.hub import client, files
from distributed.hub.files import HubFile
from distributed.hub.settings import HubAccess, Verify
from tests.hub.bodies import Several
from tests.loopback_hub import Fault, FaultKind, LoopbackHub

MakeFile = Callable[..., HubFile]

RANGES = [(200_000, 200_010), (0, 8), (500, 500), (100, 2000), (50, 120), (900_000, 1_000_000)]
CDN = "^cdn GET"


def served(hub: LoopbackHub) -> tuple[int, int]:
    """Requests for the file's address, and to the CDN."""
    return len(hub.sent("/resolve/", "hub")), len(hub.sent("GET", "cdn"))


@pytest.mark.parametrize("cdn", [False, True])
def test_ranges_are_exact_in_one_request(hub: LoopbackHub, content: bytes, hub_file: MakeFile, cdn: bool) -> None:
    hub.cdn = cdn
    source = hub_file()
    assert source.read_ranges(RANGES) == [content[a:b] for a, b in RANGES]
    assert served(hub) == (1, int(cdn))
    [asked] = {each.headers["range"] for each in hub.sent("GET .*safetensors")}
    assert asked == "bytes=0-7,50-1999,200000-200009,900000-999999"
    assert source.bytes_read == 8 + 1950 + 10 + 100_000
    assert source.read_ranges([(0, source.size)]) == [content]
    assert source.read_ranges([]) == []
    assert served(hub) == (1, 2) if cdn else (2, 0)


@pytest.mark.parametrize("several", [Several.first, Several.whole, Several.refused])
def test_servers_that_give_one_range_a_request(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, several: Several
) -> None:
    hub.cdn, hub.several_ranges = True, several
    for _ in range(3):
        assert hub_file().read_ranges(RANGES) == [content[a:b] for a, b in RANGES]
    tried = [each for each in hub.sent("GET", "cdn") if "," in each.headers["range"]]
    assert len(tried) < 3 * 3  # the host is not asked for several again
    hub.requests.clear()
    assert hub_file().read_ranges(RANGES) == [content[a:b] for a, b in RANGES]
    assert not [each for each in hub.sent("GET", "cdn") if "," in each.headers["range"]][1:]


def test_the_largest_request(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_BYTES", 300_000)
    assert hub_file().read_ranges([(10, 999_999)]) == [content[10:999_999]]
    assert sorted(each.sent for each in hub.sent("GET")) == [99_989, 300_000, 300_000, 300_000]
    hub.requests.clear()
    many = [(i * 1000, i * 1000 + 10) for i in range(200)]
    assert hub_file().read_ranges(many) == [content[a:b] for a, b in many]
    assert len(hub.sent("GET")) == 4
    assert max(len(each.headers["range"]) for each in hub.sent("GET")) < 2048


def test_a_small_file_is_fetched_once(hub: LoopbackHub, hub_file: MakeFile) -> None:
    hub.resolve_cache = True
    source = hub_file("config.json")
    text = b'{"architecture": "net"}'
    assert source.read_ranges([(0, 5)]) == [text[:5]]
    assert source.read_ranges([(2, 9), (0, source.size)]) == [text[2:9], text]
    assert source.local_path().read_bytes() == text
    assert len(hub.sent("/resolve/")) == 1
    assert source.bytes_read == len(text)


def test_verify_whole(hub: LoopbackHub, content: bytes, hub_file: MakeFile) -> None:
    whole = HubAccess(verify=Verify.whole)
    hub.faults.append(Fault(FaultKind.FLIPPED_BIT))
    with pytest.raises(RetryableError, match=r"expected SHA-256 .*, got .*: the download is damaged"):
        hub_file(access=whole).read_ranges(RANGES)
    source = hub_file(access=whole)
    assert source.read_ranges(RANGES) == [content[a:b] for a, b in RANGES]
    assert source.verified_sha256 is not None
    assert hub_file().verified_sha256 is None


def test_the_token_goes_to_the_hub_and_to_no_other_host(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cdn, hub.token, hub.gated = True, "hf_secret", frozenset({"samples/net"})
    source = hub_file()
    with pytest.raises(UnextractableError, match=r"samples/net@.*: gated: ask for access") as caught:
        source.read_ranges([(0, 8)])
    assert caught.value.reason is SkipReason.GATED
    assert pickle.loads(pickle.dumps(caught.value)).reason is SkipReason.GATED
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert source.read_ranges([(0, 8)]) == [content[:8]]
    assert source.local_path().read_bytes() == content
    at_cdn = hub.sent("GET", "cdn")
    assert at_cdn
    assert not any("authorization" in each.headers for each in at_cdn)
    assert any(each.headers.get("authorization") == "Bearer hf_secret" for each in hub.sent("GET", "hub"))


@pytest.mark.parametrize("path", ["../../../up/model.safetensors", "a/../../../../up/model.safetensors", "ABSOLUTE"])
def test_a_path_out_of_the_repository_is_never_written(hub_file: MakeFile, tmp_path: Path, path: str) -> None:
    absolute = str(tmp_path / "up/model.safetensors")
    (tmp_path / "up").mkdir()
    with pytest.raises(PermanentError, match="leads out of its repository"):
        hub_file(absolute if path == "ABSOLUTE" else path).local_path()
    assert not list((tmp_path / "up").iterdir())


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.CUT_BODY,
        FaultKind.SHORT_BODY,
        FaultKind.IGNORED_RANGE,
        FaultKind.WRONG_OFFSET,
        FaultKind.LYING_RANGE,
        FaultKind.WRONG_SIZE,
        FaultKind.UNAVAILABLE,
        FaultKind.UNKNOWN,
        FaultKind.TOO_MANY,
        FaultKind.TOO_MANY_BARE,
        FaultKind.RESET,
    ],
)
@pytest.mark.parametrize("ranges", [[(64, 1064)], RANGES])
def test_one_wrong_answer_is_asked_again(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, kind: FaultKind, ranges: list[tuple[int, int]]
) -> None:
    hub.cdn = True
    hub.faults.append(Fault(kind, CDN))
    assert hub_file().read_ranges(ranges) == [content[a:b] for a, b in ranges]
    assert not hub.faults[0].times
    assert len(hub.sent("/resolve/")) == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (FaultKind.CUT_BODY, r"the body broke off after \d+ bytes"),
        (FaultKind.SHORT_BODY, r"expected \d+ bytes, got \d+ bytes"),
        (FaultKind.IGNORED_RANGE, "expected status 206, got 200: the server ignores Range"),
        (FaultKind.WRONG_OFFSET, "expected Content-Range bytes 64-1063/.*, got bytes 65-1064/"),
        (FaultKind.WRONG_SIZE, "expected a file of 1000000 bytes, the server has 1000001"),
    ],
)
def test_wrong_bytes_never_pass_for_right_ones(
    hub: LoopbackHub, hub_file: MakeFile, kind: FaultKind, said: str
) -> None:
    hub.faults.append(Fault(kind, times=99))
    asked = r"bytes \d+-1063 asked 4 times"
    with pytest.raises(RetryableError, match=rf"samples/net@.*/model\.safetensors: {asked}, {said}"):
        hub_file().read_ranges([(64, 1064)])


@pytest.mark.parametrize("kind", [FaultKind.UNAUTHORISED, FaultKind.FORBIDDEN, FaultKind.NOT_FOUND])
@pytest.mark.parametrize("origin", ["cdn", "hub"])
def test_a_passing_refusal_is_not_believed(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, kind: FaultKind, origin: str
) -> None:
    hub.cdn = True
    source = hub_file()
    assert source.read_ranges([(0, 8)]) == [content[:8]]  # the address is known
    hub.faults.append(Fault(kind, f"^{origin} GET"))
    if origin == "hub":
        source = hub_file()
    assert source.read_ranges([(64, 1064)]) == [content[64:1064]]
    assert served(hub)[0] == (2 if origin == "cdn" else 3)
    hub.faults.append(Fault(kind, f"^{origin} GET", times=99))
    with pytest.raises(RetryableError, match=rf"answered {kind.status}"):
        hub_file().read_ranges([(64, 1064)])


def test_an_address_is_renewed_when_it_expires(hub: LoopbackHub, content: bytes, hub_file: MakeFile) -> None:
    hub.cdn, hub.signature_seconds = True, 1.0
    source = hub_file()
    for start in (0, 1000, 2000):
        assert source.read_ranges([(start, start + 8)]) == [content[start : start + 8]]
    assert served(hub) == (1, 3)
    time.sleep(2.1)  # an address is good to the whole second above
    assert source.read_ranges([(0, 8)]) == [content[:8]]
    assert served(hub) == (2, 5)


def test_threads_share_one_address(hub: LoopbackHub, content: bytes, hub_file: MakeFile) -> None:
    hub.cdn = True
    source, found = hub_file(), {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: source.read_ranges([(i, i + 70_000)])[0]}))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: content[i : i + 70_000] for i in range(8)}
    assert served(hub)[0] == 1


def test_what_came_before_a_cut_is_kept(hub: LoopbackHub, hub_file: MakeFile) -> None:
    big = os.urandom(5_000_000)
    (hub.root / "net/model.safetensors").write_bytes(big)
    hub.faults.append(Fault(FaultKind.CUT_AT, times=99, size=400_000))
    source = hub_file()
    assert source.read_ranges([(0, len(big))]) == [big]
    assert source.bytes_read < 1.05 * len(big)
    many = [(i * 50_000, i * 50_000 + 30_000) for i in range(60)]
    assert source.read_ranges(many) == [big[a:b] for a, b in many]


def test_a_trickle_is_broken_off(hub: LoopbackHub, content: bytes, hub_file: MakeFile) -> None:
    hub.faults.append(Fault(FaultKind.TRICKLE, rate=20_000))
    assert hub_file().read_ranges([(0, 900_000)]) == [content[:900_000]]
    hub.faults.append(Fault(FaultKind.TRICKLE, times=99, rate=20_000))
    start = time.monotonic()
    with pytest.raises(RetryableError, match=r"asked 4 times, the body comes at .* kB/s, hub.min_rate is 50 kB/s"):
        hub_file().read_ranges([(0, 900_000)])
    assert time.monotonic() - start < 10
    assert hub_file(access=HubAccess(min_rate=0)).read_ranges([(0, 20_000)]) == [content[:20_000]]


def test_stalls_and_silence_end(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(client, "RETRIES", 0)
    hub.faults.append(Fault(FaultKind.STALL, size=1000))
    assert hub_file().read_ranges([(0, 900_000)]) == [content[:900_000]]
    hub.faults.append(Fault(FaultKind.SILENCE))
    with pytest.raises(RetryableError, match="timed out"):
        hub_file().read_ranges([(0, 8)])


@pytest.mark.parametrize("kind", [FaultKind.UNAVAILABLE, FaultKind.RESET])
def test_a_hub_that_stays_down_is_retryable(hub: LoopbackHub, hub_file: MakeFile, kind: FaultKind) -> None:
    hub.faults.append(Fault(kind, times=99))
    with pytest.raises(RetryableError, match="samples/net@"):
        hub_file().read_ranges([(0, 8)])
    assert len(hub.sent("GET")) == 1 + client.RETRIES


@pytest.mark.parametrize("changes", [{"path": "no.safetensors"}, {"revision": "0" * 40}])
def test_missing_files_and_revisions_are_skips(hub: LoopbackHub, hub_file: MakeFile, changes: dict[str, str]) -> None:
    source = hub_file(**changes)
    for work in (lambda: source.read_ranges([(0, 8)]), source.local_path):
        with pytest.raises(UnextractableError, match="no such") as caught:
            work()
        assert caught.value.reason is SkipReason.NOT_FOUND
        assert "\n" not in str(caught.value)


def test_a_renamed_repository_is_followed(hub: LoopbackHub, content: bytes, hub_file: MakeFile) -> None:
    hub.cdn = True
    source = hub_file()
    (hub.root / "net").rename(hub.root / "new")
    hub.renamed["samples/net"] = "samples/new"
    assert source.read_ranges([(0, 8)]) == [content[:8]]
    assert source.read_ranges([(8, 16)]) == [content[8:16]]
    assert served(hub) == (2, 2)


@pytest.mark.parametrize("cdn", [False, True])
def test_whole_files_are_verified_and_kept_out_of_the_cache(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, tmp_path: Path, cdn: bool
) -> None:
    hub.cdn = cdn
    source = hub_file()
    path = source.local_path()
    assert path.read_bytes() == content
    assert path.is_relative_to(tmp_path / "scratch")
    assert source.bytes_read == source.size
    before = len(hub.requests)
    assert source.local_path() == path
    assert len(hub.requests) == before == 1 + cdn
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_the_users_cache_is_used_if_its_content_is_right(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, tmp_path: Path
) -> None:
    repo = hub.repo("samples/net")
    assert repo is not None
    cached = Path(hf_hub_download("samples/net", "model.safetensors", revision=repo.sha, endpoint=hub.endpoint))
    assert cached.is_relative_to(tmp_path / "home")
    before = len(hub.requests)
    assert hub_file().local_path() == cached
    assert len(hub.requests) == before
    damaged = bytearray(content)
    damaged[-1] ^= 1
    cached.resolve().write_bytes(damaged)
    fresh = hub_file().local_path()
    assert fresh != cached
    assert fresh.read_bytes() == content


def test_content_that_is_not_what_the_hub_lists_is_refused(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile
) -> None:
    hub.faults.append(Fault(FaultKind.WRONG_BYTES))
    source = hub_file()
    with pytest.raises(RetryableError, match=r"expected SHA-256 .*, got .*: the download is damaged"):
        source.local_path()
    assert source.local_path().read_bytes() == content


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


def test_a_full_disk_is_retryable_and_names_the_folder(
    hub: LoopbackHub, hub_file: MakeFile, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = hub_file()
    monkeypatch.setattr(source, "_scratch", tiny_disk)
    with pytest.raises(RetryableError, match=f"no space left in {tiny_disk} for samples/net@"):
        source.local_path()


def test_a_scratch_folder_that_cannot_be_written_is_no_skip(
    hub: LoopbackHub, hub_file: MakeFile, tmp_path: Path
) -> None:
    (tmp_path / "scratch").write_text("a file in its place")
    with pytest.raises(RetryableError, match=re.escape(f"cannot be written to {tmp_path / 'scratch'}")):
        hub_file().local_path()


def test_threads_share_the_client_through_failed_connections(
    hub: LoopbackHub, content: bytes, hub_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_RANGES", 1)
    ranges = [(i * 50, i * 50 + 40) for i in range(40)]
    hub.faults.append(Fault(FaultKind.RESET, times=3, after=5))
    assert hub_file().read_ranges(ranges) == [content[a:b] for a, b in ranges]


def test_offline_mode_is_said(hub: LoopbackHub, hub_file: MakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    source = hub_file()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for work in (lambda: source.read_ranges([(0, 8)]), source.local_path):
        with pytest.raises(FilterShiftError, match="HF_HUB_OFFLINE is set"):
            work()
