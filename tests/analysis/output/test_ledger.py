"""Whose files are replaced, whose are kept: a folder of results over several runs, commands and accidents."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.output.files import Outputs
from analysis.output.names import file_stem, results_folder
from distributed.errors import UserError


def run(folder: Path, command: str, *names: str, text: str = "x") -> None:
    with Outputs(folder, command) as outputs:
        for name in names:
            outputs.text(name, text)


def shown(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_results_of_an_earlier_run_of_the_command_go_and_those_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("notes")
    run(tmp_path, "shift", "a.csv", "b.csv")
    run(tmp_path, "quality", "layers.csv")
    run(tmp_path, "shift", "b.csv", "c.csv", text="new")
    assert shown(tmp_path) == ["b.csv", "c.csv", "layers.csv", "mine.txt"]
    assert (tmp_path / "b.csv").read_text() == "new"
    assert (tmp_path / "mine.txt").read_text() == "notes"


@pytest.mark.parametrize("owner", ["quality", None])
def test_files_of_others_are_refused_by_name_and_nothing_is_written(tmp_path: Path, owner: str | None) -> None:
    if owner:
        run(tmp_path, owner, "layers.csv", text="theirs")
    else:
        (tmp_path / "layers.csv").write_text("theirs")
    with pytest.raises(UserError, match=r"layers\.csv there is not of an earlier run of compare"):
        run(tmp_path, "compare", "groups.csv", "layers.csv")
    assert shown(tmp_path) == ["layers.csv"]
    assert (tmp_path / "layers.csv").read_text() == "theirs"
    assert not [path for path in tmp_path.iterdir() if f".{os.getpid()}" in path.name]


def test_an_error_in_the_middle_leaves_the_earlier_results(tmp_path: Path) -> None:
    run(tmp_path, "shift", "a.csv", text="old")

    def fails() -> None:
        with Outputs(tmp_path, "shift") as outputs:
            outputs.text("a.csv", "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert shown(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cnn-filter-shift.json", "a.csv"]


def test_leftovers_of_dead_processes_are_swept_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (tmp_path / f".a.{dead.pid}.png").write_text("half")
    (tmp_path / f".b.{os.getppid()}.png").write_text("half")
    (tmp_path / ".hidden").write_text("somebody's")
    run(tmp_path, "shift", "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f".b.{os.getppid()}.png", ".cnn-filter-shift.json", ".hidden", "a.csv",
    ]  # fmt: skip


def test_a_damaged_ledger_owns_nothing(tmp_path: Path) -> None:
    run(tmp_path, "shift", "a.csv")
    (tmp_path / ".cnn-filter-shift.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.csv there is not of an earlier run"):
        run(tmp_path, "shift", "a.csv")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-x", "@sum", "\tx"])
def test_no_cell_of_a_csv_begins_as_a_formula_does(tmp_path: Path, name: str) -> None:
    with Outputs(tmp_path, "shift") as outputs:
        outputs.csv("t", [name, "drift"], [[name, -0.5]])
    heading, row = (tmp_path / "t.csv").read_text().splitlines()
    assert heading == f"'{name},drift"
    assert row == f"'{name},-0.5"


def test_no_two_names_share_a_file() -> None:
    names = ["t/x", "t_x", "t*x", "t x", "ä", "x" * 300, "x" * 299, "task", "a.b-c"]
    stems = [file_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all(len(stem.encode()) < 200 for stem in stems)
    assert stems[-2:] == ["task", "a.b-c"]


def test_folders_made_for_a_run_that_is_refused_go_again(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(UserError), results_folder(str(there / "new" / "out")):
        raise UserError("refused")
    assert shown(tmp_path) == ["there"]
    assert shown(there) == []
    with pytest.raises(UserError), results_folder(str(there)):
        raise UserError("refused")
    assert there.is_dir()


def test_home_and_empty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with results_folder("~/a=b [1]") as folder:
        assert folder == tmp_path / "a=b [1]"
    with pytest.raises(UserError, match="out is empty"), results_folder(" "):
        pass
