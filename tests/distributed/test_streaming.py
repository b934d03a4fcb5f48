"""Runs whose listing goes on while its first models are extracted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch

from distributed.driver import extract_parts
from distributed.entry import INTERRUPTED, USAGE, guarded
from distributed.errors import SourceError
from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle
from distributed.sources import list_source
from distributed.sources.contents import Listing
from distributed.sources.settings import LocalSettings
from distributed.store import Store, StoreSettings
from tests.distributed.checkpoint_files import conv


def run_of(folder: Path, **settings: object) -> ExtractionRun:
    chosen = ExtractSettings(**{"progress": ProgressStyle.plain, **settings})  # type: ignore[arg-type]
    source, store = LocalSettings(str(folder / "models")), StoreSettings(str(folder / "store"))
    return ExtractionRun(source, store, ClusterSettings(actors=2), chosen)


def extract_listed(run: ExtractionRun, parts: Iterator[Listing]) -> int:
    return extract_parts(run, Store.open(run.store), parts)


def listed_one_by_one(folder: Path, names: str) -> list[Listing]:
    (folder / "models").mkdir()
    for number, name in enumerate(names):
        safetensors.torch.save_file({"conv.weight": conv(number)}, folder / f"models/{name}.safetensors")
    return [Listing([each]) for each in list_source(LocalSettings(str(folder / "models"))).references]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_first_part_is_in_the_store_before_the_listing_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = listed_one_by_one(tmp_path, "abc")
    models = tmp_path / "store/models"

    def parts() -> Iterator[Listing]:
        yield known[0]
        until = time.monotonic() + 120
        while not list(models.glob("*.parquet")):
            assert time.monotonic() < until, "nothing is extracted while the listing goes on"
            time.sleep(0.1)
        yield known[1]
        raise SourceError("page 3 of the listing failed: run it again later")

    assert guarded(lambda: extract_listed(run_of(tmp_path), parts())) == USAGE
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "listed 2 = extracted 2 + already there 0 + skipped 0 + failed 0"
    assert said.err.splitlines()[-1] == "error: page 3 of the listing failed: run it again later"

    assert guarded(lambda: extract_listed(run_of(tmp_path), iter(known))) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "listed 3 = extracted 1 + already there 2 + skipped 0 + failed 0"
    )


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_listing_that_fails_at_once_says_only_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    def parts() -> Iterator[Listing]:
        raise SourceError("the Hub is down")
        yield

    assert guarded(lambda: extract_listed(run_of(tmp_path, dry_run=dry_run), parts())) == USAGE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: the Hub is down\n")


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_interrupt_ends_a_run_that_waits_for_its_listing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    hangs = threading.Event()

    def parts() -> Iterator[Listing]:
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        hangs.wait(60)
        yield Listing([])

    started = time.monotonic()
    assert guarded(lambda: extract_listed(run_of(tmp_path, dry_run=dry_run), parts())) == INTERRUPTED
    hangs.set()
    assert time.monotonic() - started < 10
    assert "interrupted: what was finished is in the store" in capsys.readouterr().err
