"""What the driver does beside the pool: records of outcomes, and the requests they cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from distributed.driver import extract
from distributed.outcomes import Outcome, OutcomeKind
from distributed.plan import Planner
from distributed.recording import record, reject_of
from distributed.references import FileReference, ModelReference
from distributed.settings import ExtractionRun, ExtractSettings, Retry
from distributed.sources import list_references
from distributed.sources.settings import LocalSettings
from distributed.store import Store, StoreSettings
from tests.s3 import S3Server, s3_server
from tests.s3_proxy import Rules, proxy

__all__ = ["s3_server"]


def outcome(name: str, kind: OutcomeKind) -> Outcome:
    reference = ModelReference("local", name, "/models", None, (FileReference(f"{name}.pth", 10, stamp=1),))
    return Outcome(reference, kind, reason="because", message="of that")


def test_a_model_without_an_older_record_costs_no_request(s3_server: S3Server) -> None:
    s3_server.make_bucket("records")
    rules = Rules()
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings("s3://records/x", endpoint_url=endpoint))
        skipped, failed = outcome("skipped", OutcomeKind.SKIPPED), outcome("failed", OutcomeKind.FAILED)
        fresh = outcome("fresh", OutcomeKind.EXTRACTED)
        for each in (skipped, failed):
            record(each, store, ())
        assert [each.split()[0] for each in rules.requests if "DELETE" in each or "PUT" in each] == ["PUT", "PUT"]

        plan = Planner(store, Retry.all).plan([each.reference for each in (skipped, failed, fresh)])
        rules.requests.clear()
        record(fresh, store, plan.recorded.get(fresh.reference.reference_key, ()))
        assert rules.requests == []
        key = skipped.reference.reference_key
        record(dataclasses.replace(skipped, kind=OutcomeKind.EXTRACTED), store, plan.recorded[key])
        assert rules.requests == [f"DELETE /records/x/skips/{key}.parquet"]
        before = plan.recorded[failed.reference.reference_key]
        record(dataclasses.replace(failed, kind=OutcomeKind.SKIPPED), store, before)
        assert not store.failures()
        assert store.skips().keys() == {failed.reference.reference_key}


def test_a_store_that_takes_no_record_ends_no_run(caplog: pytest.LogCaptureFixture, s3_server: S3Server) -> None:
    store = Store.open(StoreSettings("s3://no-such-bucket/x", endpoint_url=s3_server.endpoint_url))
    record(outcome("lost", OutcomeKind.FAILED), store, ())
    (line,) = (each.getMessage() for each in caplog.records if each.name.startswith("distributed."))
    assert line.startswith("lost: the outcome 'failed' is not recorded: bucket 'no-such-bucket' does not exist")


def test_a_dry_run_reads_no_weights_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    for name in ("good.safetensors", "wrapped.pth"):
        (source / name).write_bytes(b"not weights at all")  # whoever reads it finds out
    settings = ExtractSettings(dry_run=True)
    assert extract(ExtractionRun(LocalSettings(str(source)), StoreSettings(str(store)), extract=settings)) == 0
    said = capsys.readouterr().out
    assert "listed 2 = to extract 2" in said
    for name in ("good", "wrapped"):
        assert name in said
    assert not store.exists()


@pytest.mark.parametrize(("max_failures", "code"), [(0, 1), (1, 0)])
def test_a_failure_that_stands_decides_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], max_failures: int, code: int
) -> None:
    (tmp_path / "net.pth").touch()
    source, store = LocalSettings(str(tmp_path / "net.pth")), StoreSettings(str(tmp_path / "store"))
    (reference,) = list_references(source)
    permanent = Outcome(reference, OutcomeKind.FAILED, reason="PermanentError", message="refused")
    Store.open(store).write_failure(reject_of(permanent))
    settings = ExtractSettings(max_failures=max_failures)
    assert extract(ExtractionRun(source, store, extract=settings)) == code
    said = capsys.readouterr().out
    assert "failed (recorded)" in said
    assert "listed 1 = extracted 0 + already there 0 + skipped 0 + failed 1" in said


def test_a_reject_says_where() -> None:
    reject = reject_of(outcome("broken", OutcomeKind.FAILED))
    assert (reject.name, reject.uri, reject.file, reject.reason) == ("broken", "/models", "broken.pth", "because")
