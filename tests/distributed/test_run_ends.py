"""How runs end: the report first, whatever else fails; and the record that each leaves in the store."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distributed.driver import extract, extract_parts
from distributed.errors import SourceError, UnusableStoreError
from distributed.hub.catalogue import StoredCatalogue
from distributed.interrupt import INTERRUPTED
from distributed.outcomes import Outcome, OutcomeKind
from distributed.recording import reject_of
from distributed.run_record import RunRecord
from distributed.settings import ExtractionRun
from distributed.sources import list_references, stream_source
from distributed.sources.contents import Listing
from distributed.sources.settings import LocalSettings
from distributed.store import Store, StoreSettings
from tests.distributed.store.conftest import bucket
from tests.s3 import S3Server, s3_server
from tests.s3_proxy import Rules, proxy

__all__ = ["bucket", "s3_server"]


@dataclass
class Progress:
    listed: int
    outcomes: Sequence[Outcome] = ()


ADDED_UP = "listed 1 = extracted 0 + already there 0 + skipped 0 + failed 1"


@pytest.fixture
def source(tmp_path: Path) -> LocalSettings:
    """One model, which a run needs no Ray for once ``known`` has said that it fails."""
    (tmp_path / "net.pth").touch()
    return LocalSettings(str(tmp_path / "net.pth"))


def known(source: LocalSettings, store: StoreSettings) -> ExtractionRun:
    (reference,) = list_references(source)
    failed = Outcome(
        reference, OutcomeKind.FAILED, reason="PermanentError", message="\x1b[31mrefused\x1b[0m", node="n1"
    )
    Store.open(store).write_failure(reject_of(failed, "00000000000000aa"))
    return ExtractionRun(source, store)


def and_then(run: ExtractionRun, action: object) -> Iterator[Listing]:
    """The listing, and what happens when it has been worked through."""
    yield from stream_source(run.source, StoredCatalogue(Store.open(run.store)))
    time.sleep(0.5)
    action()  # type: ignore[operator]


def test_a_run_leaves_a_record(tmp_path: Path, source: LocalSettings) -> None:
    store = StoreSettings(f"file://{tmp_path}/store")
    assert extract(known(source, store)) == 1
    (row,) = Store.open(store).runs()
    assert (row.listed, row.outcomes, row.ending, row.retries) == (1, {"failed": 1}, "complete", 0)
    assert row.ended_at is not None
    assert row.started_at <= row.updated_at == row.ended_at
    assert row.settings["source.path"] == source.path
    assert row.settings["extract.retry"] == "none"
    assert {"python", "torch", "ray", "cnn-filter-shift"} <= row.versions.keys()
    assert row.git_commit is None or len(row.git_commit) == 40
    assert row.state(datetime.now(UTC)) == "complete"


def test_a_failure_names_node_and_run_and_holds_no_colours(tmp_path: Path, source: LocalSettings) -> None:
    store = StoreSettings(str(tmp_path / "store"))
    known(source, store)
    (reject,) = Store.open(store).failures().values()
    assert (reject.node, reject.run_id, reject.message) == ("n1", "00000000000000aa", "refused")


def test_secrets_are_not_recorded(tmp_path: Path, source: LocalSettings, bucket: str, s3_server: S3Server) -> None:
    endpoint = s3_server.endpoint_url.replace("http://", "http://someone:hunter2@")
    run = ExtractionRun(source, StoreSettings(f"s3://{bucket}/x", endpoint))
    store = Store.open(StoreSettings(f"s3://{bucket}/x", s3_server.endpoint_url))
    record = RunRecord(store, run)
    record.keep_from(Progress(1))
    record.close(None)
    (row,) = store.runs()
    assert row.settings["store.endpoint_url"] == s3_server.endpoint_url
    assert not any("hunter2" in value for value in row.settings.values())


def test_an_open_record_is_kept_up_to_date_until_its_run_dies(
    tmp_path: Path, source: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed.run_record.BEAT_SECONDS", 0.05)
    store = Store.open(StoreSettings(str(tmp_path / "store")))
    record, progress = RunRecord(store, ExtractionRun(source, store.settings)), Progress(1)
    record.keep_from(progress)
    progress.listed = 7
    end = time.monotonic() + 30
    while store.runs()[0].listed != 7 and time.monotonic() < end:
        time.sleep(0.05)
    (row,) = store.runs()
    assert (row.listed, row.ended_at, row.ending) == (7, None, None)
    assert row.state(row.updated_at) == "goes on"
    assert row.state(row.updated_at + timedelta(minutes=6)) == "died without a word"
    record.close(SourceError("no such folder"))
    assert store.runs()[0].state(datetime.now(UTC)) == "no such folder"


def test_a_source_that_lists_nothing_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        extract(ExtractionRun(LocalSettings(str(tmp_path / "nowhere")), StoreSettings(str(tmp_path / "store"))))
    assert not (tmp_path / "store").exists()


def test_the_report_comes_first_though_the_store_refuses_the_rest(
    source: LocalSettings, bucket: str, s3_server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Credentials that expire in the middle."""
    rules = Rules(refusal=(400, "ExpiredToken"))
    with proxy(s3_server, rules) as endpoint:
        run = known(source, StoreSettings(f"s3://{bucket}/x", endpoint))
        parts_of_it = list(stream_source(source, StoredCatalogue(Store.open(run.store))))

        def parts() -> Iterator[Listing]:
            while not any(re.match(r"GET /\S+/failures/\w+\.parquet", request) for request in rules.requests):
                time.sleep(0.05)  # until the run knows what the store knows
            time.sleep(0.5)
            rules.forbid = "."
            yield from parts_of_it

        with pytest.raises(UnusableStoreError, match="no valid credentials"):
            extract_parts(run, Store.open(run.store), parts())
    assert ADDED_UP in capsys.readouterr().out


def test_an_interrupt_is_told_after_the_report(
    tmp_path: Path, source: LocalSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    run = known(source, StoreSettings(str(tmp_path / "store")))
    with pytest.raises(KeyboardInterrupt):
        extract_parts(
            run, Store.open(run.store), and_then(run, lambda: (signal.raise_signal(signal.SIGINT), time.sleep(5)))
        )
    assert ADDED_UP in capsys.readouterr().out
    (row,) = Store.open(run.store).runs()
    assert (row.ending, row.listed) == (INTERRUPTED, 1)


def test_a_listing_that_fails_is_told_after_the_report(
    tmp_path: Path, source: LocalSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise SourceError("the Hub is gone")

    run = known(source, StoreSettings(str(tmp_path / "store")))
    with pytest.raises(SourceError, match="the Hub is gone"):
        extract_parts(run, Store.open(run.store), and_then(run, fail))
    assert ADDED_UP in capsys.readouterr().out
    assert [row.ending for row in Store.open(run.store).runs()] == ["the Hub is gone"]
