"""The log: which model and which try each line is about, here and on the nodes."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from distributed import logs
from distributed.actor import ExtractionActor
from distributed.logs import LogStyle
from distributed.outcomes import Outcome, OutcomeKind
from distributed.progress import LogReporter, Totals, reporter_for
from distributed.references import FileReference, ModelReference
from distributed.settings import ExtractSettings, ProgressStyle
from distributed.store import StoreSettings
from tests.cli import extract

REFERENCE = ModelReference("local", "a\nnet", "/models", None, (FileReference("net.pth", 1, stamp=1),))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_lines_about_a_model_name_it_and_its_try(capsys: pytest.CaptureFixture[str]) -> None:
    for style in LogStyle:
        logs.begin(style)
        logging.getLogger("any.library").warning("before %d", 1)
        with logs.about("net", 2):
            logging.getLogger("any.library").warning("within")
    before, within, before_json, within_json = capsys.readouterr().err.splitlines()
    assert (before, within) == ("before 1", "[net, try 2] within")
    assert "model" not in json.loads(before_json)
    told = json.loads(within_json)
    assert (told["model"], told["attempt"], told["message"]) == ("net", 2, "within")
    assert (told["level"], told["logger"]) == ("warning", "any.library")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told["time"])


def test_an_actor_says_which_model_a_stack_is_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    actor = ExtractionActor(StoreSettings(str(tmp_path)), ExtractSettings(), 1, "cpu", {}, log=LogStyle.json)
    actor.extract(REFERENCE, 3)  # not started: a defect
    [line] = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["model"], told["attempt"], told["level"]) == ("a\nnet", 3, "error")
    assert told["stack"].startswith("Traceback")


def test_progress_becomes_part_of_a_log_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin(LogStyle.json)
    with reporter_for(ProgressStyle.auto, Console(file=sys.stdout), Totals(2), LogStyle.json) as reporter:
        assert isinstance(reporter, LogReporter)
        failed = Outcome(REFERENCE, OutcomeKind.FAILED, reason="ActorDied", message="it died", attempts=1)
        reporter.retried(failed, 1.5)
        reporter.finished(Outcome(REFERENCE, OutcomeKind.EXTRACTED, filters=7, bytes_read=11, attempts=2))
    said = capsys.readouterr()
    retry, done, _ = map(json.loads, said.err.splitlines())
    assert said.out == ""
    assert (retry["reason"], retry["attempt"], retry["again_in_seconds"], retry["level"]) == (
        "ActorDied",
        1,
        1.5,
        "warning",
    )
    assert (done["outcome"], done["attempt"], done["filters"], done["bytes_read"]) == ("extracted", 2, 7, 11)


@pytest.mark.ray
def test_a_run_logs_json_only(tmp_path: Path) -> None:
    ran = extract(tmp_path, "source=sample", "source.models=[digits-*]", "store.uri=store", "log=json")
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    models = {line["model"]: line for line in lines if "outcome" in line}
    assert {"digits-resnet", "digits-autoencoder"} <= models.keys()
    assert {(line["outcome"], line["attempt"]) for line in models.values()} == {("extracted", 1)}
    assert "listed 4 = extracted 4" in ran.stdout
