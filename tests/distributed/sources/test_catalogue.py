"""What listing costs, first and again; what fails of one repository; what a listing that ends early leaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm

from distributed.errors import SourceError
from distributed.hub import client as client_module
from distributed.hub.catalogue import FLUSH_EVERY, Catalogue, NoCatalogue, StoredCatalogue
from distributed.hub.settings import HubAccess
from distributed.outcomes import OutcomeKind
from distributed.plan import Planner
from distributed.recording import reject_of
from distributed.references import ModelReference
from distributed.settings import Retry
from distributed.sources import stream_source
from distributed.sources.in_parts import in_parts
from distributed.sources.settings import HubSettings, SourceSettings, TimmSettings
from distributed.store import Store, StoreSettings
from tests.distributed.sources.models import write_card, write_model, write_onnx, write_shards
from tests.loopback_hub import Fault, FaultKind, LoopbackHub


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(StoreSettings(str(tmp_path / "store")))


def stream(
    settings: SourceSettings, catalogue: Catalogue | None = None, access: HubAccess = HubAccess()
) -> dict[str, ModelReference]:
    """The whole listing, by name."""
    parts = stream_source(settings, catalogue or NoCatalogue(), access)
    references = [each for part in parts for each in part.references]
    assert len({each.name for each in references}) == len(references)
    return {each.name: each for each in references}


def asked(hub: LoopbackHub) -> dict[str, int]:
    """Requests since the last call: pages, repositories, files."""
    lines = [f"{each.method} {each.path}" for each in hub.requests]
    hub.requests.clear()
    kinds = {"pages": "GET /api/models?", "repositories": "GET /api/models/", "files": "/resolve/"}
    others = {line for line in lines if not any(kind in line for kind in kinds.values())}
    assert others <= {"HEAD /robots.txt", "GET /api/agent-harnesses"}  # the second is the client's own, once a day
    return {name: sum(kind in line for line in lines) for name, kind in kinds.items()}


def test_a_query_costs_a_request_a_repository_once(hub: LoopbackHub, store: Store) -> None:
    hub.tiny, hub.page_size = 250, 100
    settings = HubSettings(author="many", limit=None)
    first = stream(settings, StoredCatalogue(store))
    assert len(first) == 250
    assert asked(hub) == {"pages": 3, "repositories": 250, "files": 0}
    assert stream(settings, StoredCatalogue(store)) == first
    assert asked(hub) == {"pages": 3, "repositories": 0, "files": 0}


def test_a_repository_that_has_moved_on_is_asked_again(hub: LoopbackHub, store: Store) -> None:
    for name in ("a", "b"):
        write_model(hub.root / "o" / name)
    first = stream(HubSettings(author="o"), StoredCatalogue(store))
    asked(hub)
    write_model(hub.root / "o/a", seed=1)
    second = stream(HubSettings(author="o"), StoredCatalogue(store))
    assert asked(hub)["repositories"] == 1
    assert first["o/a"].revision != second["o/a"].revision
    assert first["o/b"] == second["o/b"]
    pinned = HubSettings(repos=(f"o/a@{first['o/a'].revision}",))
    assert [each.files for each in stream(pinned, StoredCatalogue(store)).values()] == [first["o/a"].files]
    assert sum(asked(hub).values()) == 0


def test_what_index_and_graph_name_is_read_once(hub: LoopbackHub, store: Store) -> None:
    write_shards(hub.root / "o/sharded")
    write_onnx(hub.root / "o/graph/model.onnx", "weights.pb")
    first = stream(HubSettings(author="o"), StoredCatalogue(store))
    assert sorted(len(each.files) for each in first.values()) == [2, 3]
    assert asked(hub)["files"] == 2
    assert stream(HubSettings(author="o"), StoredCatalogue(store)) == first
    assert asked(hub) == {"pages": 1, "repositories": 0, "files": 0}


def test_what_names_tell_costs_no_request(hub: LoopbackHub) -> None:
    write_card(hub.root / "o/card", {"license": "mit"})
    write_model(hub.root / "o/gated")
    hub.gated = frozenset({"o/gated"})
    found = stream(HubSettings(author="o"))
    assert {name: each.problem and each.problem.reason for name, each in found.items()} == {
        "o/card": "unsupported_format",
        "o/gated": "gated",
    }
    assert asked(hub)["repositories"] == 0


def test_named_repositories_of_one_owner_cost_a_page(hub: LoopbackHub, store: Store) -> None:
    hub.tiny = 50
    write_model(hub.root / "o/alone")
    named = (*(f"many/net-{number:05d}" for number in range(0, 40, 2)), "many/no-such", "o/alone")
    settings = HubSettings(repos=named)
    first = stream(settings, StoredCatalogue(store))
    assert asked(hub) == {"pages": 1, "repositories": 22, "files": 0}
    assert stream(settings, StoredCatalogue(store)) == first
    assert asked(hub) == {"pages": 1, "repositories": 2, "files": 0}  # those that no page has


def test_an_owner_s_pages_are_left_where_they_do_not_pay(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.tiny, hub.page_size = 300, 10
    monkeypatch.setattr("distributed.sources.repositories.PAGE_SIZE", 10)
    monkeypatch.setattr("distributed.sources.repositories._PASSED_OVER", 10)
    assert len(stream(HubSettings(repos=("many/net-00001", "many/net-00280", "many/net-00290")))) == 3
    assert asked(hub) == {"pages": 3, "repositories": 3, "files": 0}
    hub.faults.append(Fault(FaultKind.BAD_REQUEST, "GET /api/models\\?", times=9))
    assert len(stream(HubSettings(repos=("many/net-00001", "many/net-00002", "many/net-00003")))) == 3


def test_timm_costs_pages_of_its_owner(hub: LoopbackHub, store: Store) -> None:
    names = timm.list_pretrained("resnet*")[:40]
    for seed, name in enumerate(names):
        write_model(hub.root / "timm" / name, seed)
    settings = TimmSettings(models=tuple(names))
    first = stream(settings, StoredCatalogue(store))
    assert len(first) == 40
    there = sum(each.problem is None for each in first.values())
    assert there > 20
    assert asked(hub)["pages"] == 1
    assert stream(settings, StoredCatalogue(store)) == first
    again = asked(hub)
    assert again["pages"] == 1
    assert again["repositories"] == sum(each.problem is not None and "/" in each.root for each in first.values())


FAULTS = {
    FaultKind.INTERNAL: True,
    FaultKind.UNKNOWN: True,
    FaultKind.TOO_MANY_BARE: True,
    FaultKind.RESET: True,
    FaultKind.SHORT_BODY: True,
    FaultKind.LEGAL: False,
    FaultKind.BAD_REQUEST: False,
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)
def test_one_repository_s_failure_is_its_own(
    hub: LoopbackHub, store: Store, monkeypatch: pytest.MonkeyPatch, kind: FaultKind
) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_SECONDS", 0.02)
    hub.tiny = 20
    hub.faults.append(Fault(kind, "GET /api/models/many/net-00007", times=10**6))
    settings, patient = HubSettings(author="many"), HubAccess(max_wait=1)
    found = stream(settings, StoredCatalogue(store), patient)
    assert [name for name, each in found.items() if each.problem] == ["many/net-00007"]
    plan = Planner(store, Retry.none).plan(list(found.values()))
    [failed] = plan.settled
    assert len(plan.to_extract) == 19
    assert (failed.kind, failed.retryable) == (OutcomeKind.FAILED, FAULTS[kind])
    assert "net-00007" in str(failed.message)
    store.write_failure(reject_of(failed))
    assert next(iter(store.failures().values())).retryable is FAULTS[kind]

    hub.faults.clear()
    mended = stream(settings, StoredCatalogue(store))
    again = Planner(store, Retry.none).plan(list(mended.values()))
    assert len(again.to_extract) == 20
    assert set(again.superseded) == {failed.reference.reference_key}


def test_a_hub_that_is_out_of_order_is_left_in_peace(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RETRIES", 0)
    monkeypatch.setattr("distributed.sources.repositories.MOST_FAILURES", 20)
    hub.tiny = 500
    hub.faults.append(Fault(FaultKind.INTERNAL, "GET /api/models/many", times=10**6))
    parts = stream_source(HubSettings(author="many", limit=None), NoCatalogue())
    with pytest.raises(SourceError, match=r"failed on [0-9]+ repositories in a row, the last: .* 500"):
        list(parts)
    assert len(hub.sent("GET /api/models/many")) < 400
    hub.faults[:] = [Fault(FaultKind.INTERNAL, "GET /api/models/many", times=10**6, every=2)]
    assert len(stream(HubSettings(author="many", limit=60))) == 60


def test_an_index_that_fails_may_pass(hub: LoopbackHub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_SECONDS", 0.02)
    write_shards(hub.root / "o/sharded")
    hub.faults.append(Fault(FaultKind.INTERNAL, "resolve.*index.json", times=10**6))
    [failed] = stream(HubSettings(repos=("o/sharded",)), StoredCatalogue(store)).values()
    assert failed.problem is not None
    assert failed.problem.retryable
    hub.faults.clear()
    [mended] = stream(HubSettings(repos=("o/sharded",)), StoredCatalogue(store)).values()
    assert (mended.problem, len(mended.files)) == (None, 3)


def test_gated_with_a_token_is_left_to_the_download(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(hub.root / "o/net")
    hub.gated, hub.token = frozenset({"o/net"}), "hf_good"
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert stream(HubSettings(repos=("o/net",)))["o/net"].problem is None
    assert not hub.sent("auth-check")


def test_a_listing_that_is_killed_has_kept_what_it_knew(hub: LoopbackHub, store: Store) -> None:
    hub.tiny = FLUSH_EVERY + 60
    settings = HubSettings(author="many", limit=None)
    parts = stream_source(settings, StoredCatalogue(store))
    seen = 0
    while seen <= FLUSH_EVERY:
        seen += len(next(parts).references)
    # Killed: nothing is closed, nothing flushed.
    asked(hub)
    assert len(stream(settings, StoredCatalogue(store))) == FLUSH_EVERY + 60
    assert asked(hub)["repositories"] <= 60
    parts.close()


def test_a_dry_run_reads_the_catalogue_and_writes_nothing(hub: LoopbackHub, store: Store, tmp_path: Path) -> None:
    hub.tiny = 5
    settings = HubSettings(author="many")
    first = stream(settings, StoredCatalogue(store, writes=False))
    assert not (tmp_path / "store").exists()
    stream(settings, StoredCatalogue(store))
    asked(hub)
    assert stream(settings, StoredCatalogue(store, writes=False)) == first
    assert asked(hub)["repositories"] == 0


def test_a_catalogue_that_cannot_be_read_is_asked_again(hub: LoopbackHub, store: Store, tmp_path: Path) -> None:
    hub.tiny = 3
    folder = tmp_path / "store/repositories"
    stream(HubSettings(author="many"), StoredCatalogue(store))
    [file] = folder.iterdir()
    file.write_bytes(b"no parquet")
    assert len(stream(HubSettings(author="many"), StoredCatalogue(store))) == 3
    store.write_repositories([("many/net-00000", "0" * 40, "[]")])
    file.unlink()
    assert StoredCatalogue(store).get("many/net-00000", "0" * 40) is None


def test_parts_come_as_they_are_done_and_errors_of_the_items_last() -> None:
    def items() -> Iterator[int]:
        yield from range(10)
        raise OSError("no more pages")

    parts = in_parts(lambda each: each, items(), 3)
    assert sorted(next(parts)) == list(range(10))
    with pytest.raises(OSError, match="no more pages"):
        next(parts)
    with pytest.raises(ZeroDivisionError):
        list(in_parts(lambda each: 1 // each, range(10), 3))


def test_closing_waits_for_no_thread_and_takes_no_more_items() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10**6):
            taken.append(number)
            yield number

    parts = in_parts(lambda each: time.sleep(0 if each < 4 else 30) or each, items(), 4)
    next(parts)
    start = time.monotonic()
    parts.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 5
    assert len(taken) < 50
