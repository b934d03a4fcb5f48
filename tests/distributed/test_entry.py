"""What a user sees who mistypes a setting: one line, exit code 2, no stack."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from launch import extract, filter_shift
from tests import cli
from tests.conftest import REPOSITORY

WRONG = {
    "storee.uri=x": "there is no setting 'storee'; did you mean 'store.uri'?",
    "sorce=timm": "there is no setting 'sorce'; did you mean 'source'?",
    "extract.retry=maybe": "expected one of [none, failed, skipped, all]",
    "extract.retry=faild": "expected one of [none, failed, skipped, all]; did you mean 'failed'?",
    "extract.max_attempts=abc": "'abc' of type 'str' could not be converted to Integer",
    "extract.max_atempts=1": "did you mean 'extract.max_attempts'?",
    "max_attempts=1": "did you mean 'extract.max_attempts'?",
    "source=nope": "Available options in 'source': cnn_filter_db, hub, local, sample, timm",
    "source=tim": "hub, local, sample, timm; did you mean 'timm'?",
    "cluster=lokal": "did you mean 'local'?",
    "source.modls=[x]": "there is no setting 'modls'; did you mean 'source.models'?",
    "source.path=x": "there is no setting 'path'; it is a setting of source=local",
    "+extract.zzz=1": "there is no setting 'zzz'",
    "+extract.retri=all": "there is no setting 'retri'; there are: dry_run, plan, retry, ",
    "source=local": "source.path is not set",
    "store=s3": "store.uri is not set",
    "store.uri=ftp://x/y": "ftp:// is not supported",
    "source=local source.path=nowhere": "nowhere: no such file or folder",
    "source.models=[digits-resnt]": "no sample model is called 'digits-resnt': did you mean digits-resnet",
    "source=timm source.models=[resnt18]": "has no pretrained model 'resnt18': did you mean resnet18",
    "source=hub source.author=x source.sort=like": "did you mean 'likes'?",
    "extract.retry=failed,skipped": "Ambiguous value for argument",
    "-m extract.retry=failed,skipped": "-m: there are no sweeps: run the command once for each value",
    "--multirun extract.retry=all": "there are no sweeps",
    "--mult": "there are no sweeps",
    "hydra.mode=MULTIRUN": "there are no sweeps",
}


@pytest.mark.parametrize(("overrides", "words"), WRONG.items(), ids=list(WRONG))
def test_wrong_settings_are_one_line(overrides: str, words: str, tmp_path: Path) -> None:
    said = cli.called(extract.main, *overrides.split(), "extract.dry_run=true", cwd=tmp_path)
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "multirun to your command" not in line
    assert said.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_its_own_says_the_same(tmp_path: Path) -> None:
    said = cli.extract(tmp_path, "source=tim")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.splitlines() == cli.called(extract.main, "source=tim", cwd=tmp_path).stderr.splitlines()


def test_wrong_settings_of_shift_are_one_line(tmp_path: Path) -> None:
    for overrides, words in {"axis=[x]": "there is no setting 'axis'", "store.uri=empty": "holds no models"}.items():
        said = cli.called(filter_shift.main, "shift", overrides, cwd=tmp_path)
        assert said.returncode == 2
        (line,) = said.stderr.splitlines()
        assert words in line


def test_hydras_own_flags_work(tmp_path: Path) -> None:
    said = cli.run_command("launch/extract.py", "--cfg", "job", "source=timm", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "kind: timm" in said.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_setting(tmp_path: Path) -> None:
    said = cli.called(extract.main, "--help", cwd=tmp_path)
    assert said.returncode == 0
    for words in ("max_bytes_in_flight", "source=timm", "endpoint_url", "cluster=ray", "path: ???"):
        assert words in said.stdout
    assert "schema" not in said.stdout


@pytest.mark.parametrize("name", ["--help", *filter_shift.COMMANDS])
def test_help_costs_little_and_survives_its_reader(name: str, tmp_path: Path) -> None:
    """The bare interpreter takes .05 s of CPU, Hydra's import alone .35 s, torch's 2 s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = f"{sys.executable} -c 'from launch.filter_shift import main; main()' {name} --help | head -1"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_help_of_no_command_imports_what_computes(tmp_path: Path) -> None:
    program = f"""
import sys
from launch.filter_shift import main
for name in {[*filter_shift.COMMANDS]}:
    sys.argv = ["filter-shift", name, "--help"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, name
    heavy = {{"numpy", "pyarrow", "matplotlib", "numba", "torch", "ray", "huggingface_hub", "h5py"}} & set(sys.modules)
    assert not heavy, (name, heavy)
"""
    done = cli.run_command("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
