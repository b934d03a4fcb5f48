"""What an actor makes of errors, and what it says of its node, without Ray around it."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from distributed.actor import ExtractionActor, outcome_of
from distributed.errors import (
    PermanentError,
    Place,
    RetryableError,
    SkipReason,
    StoreError,
    UnextractableError,
    UnusableStoreError,
)
from distributed.outcomes import NotReady, Outcome, OutcomeKind
from distributed.references import FileReference, ModelReference
from distributed.settings import ExtractSettings
from distributed.store import StoreSettings

REFERENCE = ModelReference("local", "net", "/models", None, (FileReference("net.pth", 1, stamp=1),))


def raising(error: Exception) -> Callable[[], Outcome]:
    def work() -> Outcome:
        raise error

    return work


def test_an_outcome_passes_as_it_is() -> None:
    outcome = Outcome(REFERENCE, OutcomeKind.EXTRACTED, model_id="0" * 16, filters=3)
    assert outcome_of(REFERENCE, lambda: outcome) is outcome


def test_a_model_without_filters_is_skipped_with_its_place() -> None:
    place = Place(file="net.pth", tensor="a.weight", expected="finite", found="NaN")
    found = outcome_of(REFERENCE, raising(UnextractableError(SkipReason.NON_FINITE, "a.weight is NaN", place)))
    assert found == Outcome(REFERENCE, OutcomeKind.SKIPPED, reason="non_finite", message="a.weight is NaN", place=place)


@pytest.mark.parametrize(
    ("error", "retryable"), [(RetryableError("503"), True), (PermanentError("no"), False), (StoreError("gone"), False)]
)
def test_the_type_of_an_error_says_whether_it_may_pass(error: Exception, retryable: bool) -> None:
    found = outcome_of(REFERENCE, raising(error))
    assert (found.kind, found.reason, found.message) == (OutcomeKind.FAILED, type(error).__name__, str(error))
    assert found.retryable is retryable


@pytest.mark.parametrize("text", ["", "one\ntwo", "\n\n  three  \n"])
def test_a_defect_is_one_line_with_its_place_and_is_logged(text: str, caplog: pytest.LogCaptureFixture) -> None:
    found = outcome_of(REFERENCE, raising(KeyError(text)))
    assert (found.kind, found.reason, found.retryable) == (OutcomeKind.FAILED, "KeyError", False)
    assert found.message is not None
    assert "\n" not in found.message
    assert found.message.startswith("unexpected KeyError: ")
    assert "(at test_actor.py:" in found.message
    assert caplog.records[0].exc_info is not None


def test_ctrl_c_is_no_outcome() -> None:
    def interrupted() -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome_of(REFERENCE, interrupted)


def test_a_store_that_nobody_can_use_is_no_outcome() -> None:
    with pytest.raises(UnusableStoreError):
        outcome_of(REFERENCE, raising(UnusableStoreError("no permission")))


def test_memory_that_was_not_enough_says_what_to_do() -> None:
    found = outcome_of(REFERENCE, raising(MemoryError("Unable to allocate 9. GiB")))
    assert (found.reason, found.retryable) == ("OutOfMemory", True)
    assert "cluster.memory" in (found.message or "")


def test_outcomes_travel() -> None:
    found = outcome_of(REFERENCE, raising(UnextractableError(SkipReason.GATED, "gated", Place(file="a"))))
    assert pickle.loads(pickle.dumps(found)) == found


def actor(store: str) -> ExtractionActor:
    return ExtractionActor(StoreSettings(store), ExtractSettings(), 1, "cpu", {})


def test_a_node_that_can_do_the_work_says_nothing(tmp_path: Path) -> None:
    ready = actor(str(tmp_path / "store"))
    assert ready.start() is None
    found = ready.extract(ModelReference("local", "net", str(tmp_path), None, (FileReference("net.pth", 1, stamp=1),)))
    assert (found.kind, found.reason) == (OutcomeKind.SKIPPED, "not_found")


def test_a_node_that_cannot_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    told = actor(str(tmp_path / "file" / "store")).start()
    assert told is not None
    assert "Not a directory" in told.message
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    told = actor(str(tmp_path / "store")).start()
    assert told == NotReady(
        "no folder for downloads can be made (Not a directory): make room, or set TMPDIR", may_pass=True
    )
