"""Folders for downloads: gone with their owner, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distributed.scratch import scratch
from distributed.store.staging import temporary_folder

KILLED = """
import os, signal
from distributed.scratch import scratch
from distributed.store.staging import staged, temporary_folder
with scratch() as folder, staged(temporary_folder(), "00112233445566aa") as staging:
    (folder / "lab--net").mkdir()
    (folder / "lab--net" / "model.safetensors").write_bytes(bytes(1000))
    staging.path("filters.parquet").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def left() -> list[Path]:
    return [path for path in temporary_folder().rglob("*") if path.is_file()]


def test_what_the_killed_leave_is_swept_by_the_next(tmp_path: Path) -> None:
    with scratch() as mine:  # the living keep theirs
        (mine / "file").write_text("kept")
        done = subprocess.run([sys.executable, "-c", KILLED], timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert len(left()) == 6  # two locks with what they guard, and ours
        with scratch() as folder:
            assert list(folder.iterdir()) == []
            assert (mine / "file").read_text() == "kept"
            assert len(left()) == 3
    assert left() == []
