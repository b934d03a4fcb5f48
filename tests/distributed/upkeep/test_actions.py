"""``python -m distributed.store``: what each action says and does, on disk and on S3."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.api import filters, shift
from distributed.errors import UserError
from distributed.store import RunRow, Store
from distributed.store import writer as writer_module
from distributed.upkeep import compact as compact_module
from distributed.upkeep.compact import compact
from distributed.upkeep.garbage import collect
from distributed.upkeep.runs import show as show_runs
from distributed.upkeep.settings import CollectGarbage, Compact, Look, Verify
from distributed.upkeep.stats import show as show_stats
from distributed.upkeep.verify import verify
from tests.distributed.store import build
from tests.stores import Model, sample_models, write_store

MODELS = sample_models()


@pytest.fixture
def filled(store: Store) -> Store:
    """Seven models, by the store's own writer."""
    for model in MODELS:
        write(store, model)
    return store


def write(store: Store, model: Model) -> None:
    layers = [layer.weight for layer in model.layers]
    finish = build.finish(model.model_id, layers, model.name)
    store.write_model(model.model_id, build.batches(model.model_id, layers), finish)


def of(store: Store) -> dict[str, str | None]:
    return {"uri": store.uri, "endpoint_url": store.settings.endpoint_url, "region": store.settings.region}


def rows(store: Store) -> dict[str, np.ndarray]:
    """Every model's filters, bit for bit."""
    found = {}
    for model in MODELS:
        with store.open_filters(model.model_id) as file:
            table = file.read()
        found[model.model_id] = np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1).view(np.uint32)
        assert pa.compute.equal(pa.compute.shift_right(table["layer_id"], 16), table["layer_id"][0].as_py() >> 16)
    return found


def own_files(store: Store) -> int:
    return len(store.files("filters"))


def assert_as_before(store: Store, before: dict[str, np.ndarray]) -> None:
    now = rows(store)
    assert now.keys() == before.keys()
    for model_id, expected in before.items():
        np.testing.assert_array_equal(now[model_id], expected)


def test_compact_changes_no_row(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(filled)
    assert compact(Compact(**of(filled), dry_run=True)) == 0
    assert "7 files of" in capsys.readouterr().out
    assert filled.packs() == []
    assert compact(Compact(**of(filled))) == 0
    assert "7 merged files wait for their readers" in capsys.readouterr().out
    assert (own_files(filled), len(filled.packs())) == (7, 1)
    assert_as_before(filled, before)
    assert compact(Compact(**of(filled), grace=0)) == 0
    assert "7 files that were merged more than 0 hours ago removed" in capsys.readouterr().out
    assert (own_files(filled), len(filled.packs())) == (0, 1)
    assert_as_before(filled, before)
    assert_as_before(Store.open(filled.settings), before)
    assert verify(Verify(**of(filled))) == 0
    write(filled, dataclasses.replace(MODELS[0], given_id="00112233445566aa"))  # a writer goes on
    assert compact(Compact(**of(filled))) == 0
    assert (own_files(filled), len(filled.packs())) == (1, 1)  # one file alone is not worth a pack


def test_an_analysis_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models packed in two packs, one not; all rows, and those of some layers."""
    monkeypatch.setattr(compact_module, "PACK_BYTES", 100_000)
    root = write_store(tmp_path / "store", MODELS)
    store = Store.open(Look(str(root)).store)
    expected = shift(str(root), "depth"), filters(str(root), where="conv_depth > 0")
    compact(Compact(str(root), grace=0))
    write(store, MODELS[3])  # its row is there, so nothing is written
    assert len(store.packs()) > 1
    shutil.rmtree(root / "sketches")
    found = shift(str(root), "depth"), filters(str(root), where="conv_depth > 0")
    for one, other in zip(expected, found, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_who_planned_before_reads_on(filled: Store) -> None:
    places = filled.filter_places()
    compact(Compact(**of(filled)))
    for model in MODELS:
        assert pq.read_metadata(places(model.model_id).path, filesystem=filled.arrow_filesystem()).num_rows
    compact(Compact(**of(filled), grace=0))
    for model in MODELS:
        place = filled.filter_places()(model.model_id)
        assert place.path.endswith(f"packs/{filled.packs()[0].file.key}.parquet")


KILLED = """
import os, signal, sys
from distributed.store.backends import LocalBackend
from distributed.upkeep.compact import compact
from distributed.upkeep.settings import Compact
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(LocalBackend, sys.argv[2], die)
compact(Compact(sys.argv[1], grace=0))
"""


@pytest.mark.parametrize(("verb", "packs"), [("publish", 0), ("remove", 1)])
def test_a_crash_in_the_middle_loses_nothing(local_store: Store, verb: str, packs: int) -> None:
    for model in MODELS:
        write(local_store, model)
    before = rows(local_store)
    done = subprocess.run([sys.executable, "-c", KILLED, local_store.uri, verb], timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert (own_files(local_store), len(local_store.packs())) == (7, packs)
    assert_as_before(local_store, before)
    compact(Compact(local_store.uri, grace=0))
    assert (own_files(local_store), len(local_store.packs())) == (0, 1)
    assert_as_before(local_store, before)


def test_a_model_that_was_extracted_again_counts_before_its_pack(local_store: Store) -> None:
    for model in MODELS:
        write(local_store, model)
    compact(Compact(local_store.uri, grace=0))
    again = MODELS[0]
    Path(local_store.uri, "models", f"{again.model_id}.parquet").unlink()
    write(local_store, again)
    compact(Compact(local_store.uri, grace=0))
    assert [file.key for file in local_store.files("filters")] == [again.model_id]
    assert local_store.filter_places()(again.model_id).path == local_store.filters_path(again.model_id)


def test_a_pack_that_reads_otherwise_is_not_published(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        write(local_store, model)
    real = pq.read_table
    monkeypatch.setattr(writer_module.pq, "read_table", lambda file: real(file).slice(1))
    with pytest.raises(UserError, match="the disk or memory is at fault"):
        compact(Compact(local_store.uri))
    assert local_store.packs() == []


def other_weight(table: pa.Table) -> pa.Table:
    weights = table["w4"].to_numpy().copy()
    weights[5] += 0.001 * max(1.0, abs(weights[5]))
    return table.set_column(5, "w4", pa.array(weights))


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("filters", other_weight, "of its filters (apart by"),
        ("filters", lambda table: table.slice(1), "layers and filters differ in (layer_id, filters)"),
        ("layers", lambda table: table.slice(1), "its row promises"),
    ],
)
def test_verify_names_what_is_wrong(
    local_store: Store,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    change: Callable[[pa.Table], pa.Table],
    expected: str,
) -> None:
    for model in MODELS:
        write(local_store, model)
    assert verify(Verify(local_store.uri)) == 0
    assert "checked 7 models of 6,395 filters = sound 7 + wrong 0" in capsys.readouterr().out
    path = Path(local_store.uri, kind, f"{MODELS[2].model_id}.parquet")
    pq.write_table(change(pq.read_table(path)), path)
    assert verify(Verify(local_store.uri)) == 1
    wrong, total = capsys.readouterr().out.splitlines()
    assert wrong.startswith(f"{MODELS[2].name} ({MODELS[2].model_id}): ")
    assert expected in wrong
    assert total == "checked 7 models of 6,395 filters = sound 6 + wrong 1"
    assert verify(Verify(local_store.uri, dry_run=True)) == 0
    assert "would check 7 models" in capsys.readouterr().out


def test_gc_removes_what_is_old_and_nobody_needs(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    backend = filled._backend
    backend.write("filters/00112233445566aa.parquet", b"left by the dead")
    backend.write(".probes/node-1", b"probe")
    collect(CollectGarbage(**of(filled), older_than=1))
    assert "removed 0 files" in capsys.readouterr().out
    collect(CollectGarbage(**of(filled), older_than=0, dry_run=True))
    said = capsys.readouterr().out
    assert "filters/00112233445566aa.parquet" in said
    assert "would remove 2 files" in said
    assert own_files(filled) == 8
    collect(CollectGarbage(**of(filled), older_than=0))
    assert own_files(filled) == 7
    assert filled.orphans(datetime.now(UTC)) == []
    assert verify(Verify(**of(filled))) == 0


def run_row(**changes: object) -> RunRow:
    now = datetime.now(UTC)
    row = RunRow(
        "00000000000000aa", now, now, None, None, "head", {"extract.retry": "none"}, {"python": "3.13"}, "c" * 40, 11,
        {"extracted": 3}, 1000, 5_000_000, 1, ("node-1", "node-2"),
    )  # fmt: skip
    return dataclasses.replace(row, **changes)  # type: ignore[arg-type]


def test_gc_waits_for_a_run_that_goes_on(local_store: Store) -> None:
    local_store.write_run(run_row())
    with pytest.raises(UserError, match="run 00000000000000aa goes on"):
        collect(CollectGarbage(local_store.uri))
    local_store.write_run(run_row(updated_at=datetime.now(UTC) - timedelta(hours=1)))
    assert collect(CollectGarbage(local_store.uri)) == 0


def test_runs_are_told_a_line_each(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    store.write_run(run_row())
    store.write_run(run_row(run_id="00000000000000bb", started_at=old, updated_at=old))
    assert store.runs()[1] == dataclasses.replace(
        run_row(),
        **{name: getattr(store.runs()[1], name) for name in ("started_at", "updated_at")},
    )
    show_runs(Look(**of(store)))
    dead, living, total = capsys.readouterr().out.splitlines()
    assert "run 00000000000000bb on head | 0.0 min | died without a word | listed 11, so far extracted 3" in dead
    assert "| goes on |" in living
    assert living.endswith("1,000 filters | 5.0 MB read | 1 retry | on node-1, node-2 | commit cccccccccc")
    assert total.startswith("2 runs of ")


def test_stats_count(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    filled.write_skip(build.reject())
    show_stats(Look(**of(filled)))
    said = capsys.readouterr().out
    assert "6,395" in said
    assert "skipped: no_3x3_convolution 1" in said


def test_the_command(tmp_path: Path) -> None:
    """By itself and as ``filter-shift store``; what it can't do is said in a line."""
    root = write_store(tmp_path / "store", MODELS[:2])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "80"})

    done = run("-m", "distributed.store", "verify", f"uri={root}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("= sound 2 + wrong 0\n")
    wrong = run("-c", "from launch.filter_shift import main; main()", "store", "verfy", f"uri={root}")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "there is no action 'verfy'; did you mean 'verify'?" in wrong.stderr
