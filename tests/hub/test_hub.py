"""The server that other tests believe: a few of its promises, by a plain client."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.sources.models import write_model
from tests.hub import Fault, FaultKind
from tests.hub.process import HubProcess, hub_process


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    root = tmp_path_factory.mktemp("hub")
    write_model(root / "o/net")
    with hub_process(root, cdn=True) as server:
        yield server


def asked(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, after redirects."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def listed(hub: HubProcess, query: str) -> tuple[Any, str | None]:
    """A page, and the link to the next."""
    status, headers, body = asked(f"{hub.endpoint}/api/models?{query}")
    assert status == 200, body
    return json.loads(body), headers.get("Link")


def test_ranges_one_several_and_none(hub: HubProcess, tmp_path: Path) -> None:
    content = (write_model(tmp_path / "same") / "model.safetensors").read_bytes()
    url = f"{hub.endpoint}/o/net/resolve/main/model.safetensors"
    hub.forget()
    assert asked(url)[2] == content
    status, headers, body = asked(url, Range="bytes=8-15")
    assert (status, headers["Content-Range"], body) == (206, f"bytes 8-15/{len(content)}", content[8:16])
    status, headers, body = asked(url, Range="bytes=0-7, 100-199,-4")
    assert status == 206
    parts = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    found = [(part["Content-Range"].split("/")[0], part.get_payload(decode=True)) for part in parts.iter_parts()]
    assert [len(piece) for _, piece in found] == [8, 100, 4]
    assert [said for said, _ in found][:2] == ["bytes 0-7", "bytes 100-199"]
    assert found[0][1] == content[:8]
    hub.set(several_ranges="whole")
    assert asked(url, Range="bytes=0-7,100-199")[::2] == (200, content)
    hub.set(several_ranges="multipart")
    assert hub.counts()["resolve"] == hub.counts()["cdn"] == 4
    assert hub.counts()["bytes_cdn"] == 2 * len(content) + 8 + len(body)


def test_signed_addresses_end(hub: HubProcess) -> None:
    url = f"{hub.endpoint}/o/net/resolve/main/model.safetensors"
    hub.forget()
    assert asked(url)[0] == 200
    [address] = [each.path for each in hub.requests() if each.origin == "cdn"]
    assert asked(hub.cdn_endpoint + address)[0] == 200
    assert asked(hub.cdn_endpoint + address.replace("Expires=1", "Expires=2"))[0] == 403
    hub.revoke()
    assert asked(hub.cdn_endpoint + address)[0] == 403
    hub.set(signature_seconds=-5)
    assert asked(url)[0] == 403
    hub.set(signature_seconds=3600)


def test_quotas_are_told_and_kept(hub: HubProcess) -> None:
    hub.set(quotas={"api": 3, "resolve": 1, "window": 300, "by_token": {"hf_pro": [100, 100]}})
    url = f"{hub.endpoint}/api/models/o/net"
    answers = [asked(url) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert answers[0][1]["RateLimit"].startswith('"api";r=2;t=')
    assert answers[0][1]["RateLimit-Policy"] == '"fixed window";"api";q=3;w=300'
    assert asked(url, Authorization="Bearer hf_pro")[1]["RateLimit"].startswith('"api";r=99;')
    resolve = f"{hub.endpoint}/o/net/resolve/main/config.json"
    assert [asked(resolve)[0] for _ in range(2)] == [200, 429]
    hub.set(quotas=None)
    assert "RateLimit" not in asked(url)[1]


def test_ten_thousand_repositories_by_pages(hub: HubProcess) -> None:
    hub.set(tiny=10_000)
    names, page, link = set(), *listed(hub, "author=many&expand=sha&expand=siblings")
    while page:
        names |= {each["id"] for each in page}
        assert set(page[0]) == {"_id", "id", "sha", "siblings"}
        query = link.partition("?")[2].partition(">")[0] if link else ""
        page, link = listed(hub, query) if query else ([], None)
    assert len(names) == 10_000
    status, _, body = asked(f"{hub.endpoint}/api/models/many/net-09999?blobs=true")
    assert (status, json.loads(body)["siblings"][2]["size"]) == (200, 3345)
    hub.set(tiny=0)


def test_renamed_repositories_lead_on_and_small_files_are_cached(hub: HubProcess) -> None:
    hub.set(renamed={"old/name": "o/net"}, resolve_cache=True)
    assert json.loads(asked(f"{hub.endpoint}/api/models/old/name?blobs=true")[2])["id"] == "o/net"
    hub.forget()
    assert b"TwoConvs" in asked(f"{hub.endpoint}/old/name/resolve/main/config.json")[2]
    assert [each.kind for each in hub.requests()] == ["resolve", "resolve", "cache"]
    hub.set(renamed={}, resolve_cache=False)


def test_faults_come_when_they_should_and_end(hub: HubProcess) -> None:
    url = f"{hub.endpoint}/api/models/o/net"
    hub.fail(Fault(FaultKind.UNKNOWN, "hub GET /api/models/o", times=2, every=2))
    assert [asked(url)[0] for _ in range(6)] == [520, 200, 520, 200, 200, 200]
    hub.fail(Fault(FaultKind.FORBIDDEN, "GET", code="GatedRepo", times=9))
    assert asked(url)[1]["X-Error-Code"] == "GatedRepo"
    hub.heal()
    assert asked(url)[0] == 200
