"""One request: who gets the token, which refusals are believed, what ends a wait, who is named if none answers."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session  # type: ignore[attr-defined]  # public, but not marked as exported

from distributed.errors import (
    FilterShiftError,
    PermanentError,
    RetryableError,
    SkipReason,
    SourceError,
    UnextractableError,
)
from distributed.hub import budget, client
from distributed.hub.waits import end_waits
from tests.loopback_hub import Fault, FaultKind, LoopbackHub


@pytest.fixture
def url(hub: LoopbackHub) -> str:
    """Of a listing of 25 repositories in pages of ten."""
    hub.tiny, hub.page_size = 25, 10
    return f"{hub.endpoint}/api/models"


def test_a_listing_is_followed_through_a_mirror(hub: LoopbackHub, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for link_base in (None, "https://huggingface.co"):
        hub.requests.clear()
        hub.link_base = link_base
        assert len({each["id"] for each in client.get_pages(url, {"author": "many"})}) == 25
        assert [each.headers.get("authorization") for each in hub.requests] == ["Bearer hf_secret"] * 3


def test_a_listing_that_goes_on_elsewhere_is_refused_by_name(
    hub: LoopbackHub, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with LoopbackHub(tmp_path) as other:
        hub.link_base = other.endpoint
        with pytest.raises(PermanentError, match=f"goes on at {other.endpoint}, which is not asked: set HF_ENDPOINT"):
            list(client.get_pages(url, {"author": "many"}))
        assert not other.requests


@pytest.mark.parametrize(
    ("code", "reason"),
    [("RepoNotFound", "not_found"), ("GatedRepo", "gated"), ("RevisionNotFound", "not_found")],
)
def test_refusals_that_the_hub_names_are_believed(hub: LoopbackHub, url: str, code: str, reason: SkipReason) -> None:
    hub.faults.append(Fault(FaultKind.NOT_FOUND, "/api/", code=code))
    with pytest.raises(UnextractableError) as caught:
        client.get_json(f"{url}/many/net-00001")
    assert caught.value.reason == reason
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        *((kind, RetryableError) for kind in (FaultKind.NOT_FOUND, FaultKind.FORBIDDEN, FaultKind.UNAUTHORISED)),
        *((kind, RetryableError) for kind in (FaultKind.INTERNAL, FaultKind.UNKNOWN)),
        *((kind, PermanentError) for kind in (FaultKind.LEGAL, FaultKind.BAD_REQUEST)),
    ],
)
def test_what_else_an_answer_means(hub: LoopbackHub, url: str, kind: FaultKind, error: type[FilterShiftError]) -> None:
    hub.faults.append(Fault(kind, "/api/", times=99))
    with pytest.raises(error, match=rf"^many/net-00001: {hub.endpoint} answered {kind.status} \("):
        client.get_json(f"{url}/many/net-00001")
    assert len(hub.requests) == (1 if error is PermanentError else 1 + client.RETRIES)
    if error is RetryableError:
        hub.faults[:] = [Fault(kind, "/api/")]
        assert client.get_json(f"{url}/many/net-00001")["id"] == "many/net-00001"


def test_many_429_cost_time_and_nothing_else(hub: LoopbackHub, url: str) -> None:
    hub.faults.append(Fault(FaultKind.TOO_MANY_BARE, "/api/", times=7))
    assert client.get_json(f"{url}/many/net-00001")["id"] == "many/net-00001"


@pytest.mark.parametrize("after", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_wait_longer_than_allowed_is_said_at_once(hub: LoopbackHub, url: str, after: str) -> None:
    hub.faults.append(Fault(FaultKind.UNAVAILABLE, "/api/", headers={"Retry-After": after}))
    start = time.monotonic()
    said = r"many/net-00001: .* answered 503 .*; the next try would be in \d{4,} s, 600 s are left of hub.max_wait=600"
    with pytest.raises(RetryableError, match=said):
        client.get_json(f"{url}/many/net-00001")
    assert time.monotonic() - start < 5


def test_who_waits_is_told_and_can_be_woken(hub: LoopbackHub, url: str) -> None:
    hub.faults.append(Fault(FaultKind.UNAVAILABLE, "/api/", headers={"Retry-After": "60"}))
    errors: list[Exception] = []

    def ask() -> None:
        try:
            client.get_json(f"{url}/many/net-00001")
        except RetryableError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 10
    while not (said := budget.current().waiting()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert re.match(r"many/net-00001 waits (59|60) s for a server", said)
    end_waits()
    thread.join(5)
    assert not thread.is_alive()
    assert "broken off while waiting" in str(errors[0])


def test_a_renamed_repository_and_an_answer_that_is_no_json(
    hub: LoopbackHub, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.renamed["many/old"] = "many/net-00001"
    assert client.get_json(f"{url}/many/old")["id"] == "many/net-00001"
    hub.faults.append(Fault(FaultKind.CUT_BODY, "/api/"))
    assert client.get_json(f"{url}/many/net-00001")["id"] == "many/net-00001"
    monkeypatch.setattr(client, "RETRIES", 0)
    hub.faults.append(Fault(FaultKind.SHORT_BODY, "/api/"))
    with pytest.raises(RetryableError, match="does not answer as the Hub does"):
        client.get_json(f"{url}/many/net-00001")


def test_the_probe_lists_nothing(hub: LoopbackHub) -> None:
    client.require_hub()
    assert len(hub.requests) == 1
    assert not hub.sent("/api/")


def test_a_dead_proxy_is_named(hub: LoopbackHub, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    close_session()
    named = rf"through the proxy http://127\.0\.0\.1:{port}: check that it runs"
    for ask in (client.require_hub, lambda: client.get_json(f"{url}/many/net-00001")):
        with pytest.raises(FilterShiftError, match=named) as caught:
            ask()
        assert "secret" not in str(caught.value)
    assert not hub.requests


def test_offline_is_said(hub: LoopbackHub, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE is set"):
        client.require_hub()
    with pytest.raises(RetryableError, match="HF_HUB_OFFLINE is set"):
        client.get_json(url)
