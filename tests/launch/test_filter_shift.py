"""``filter-shift``: the commands under one name, from a checkout and from a wheel."""

from __future__ import annotations

import os
import pkgutil
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from launch import filter_shift
from tests import cli
from tests.conftest import REPOSITORY


def test_the_commands_are_listed_with_a_line_each(tmp_path: Path) -> None:
    alone, asked = (cli.called(filter_shift.main, *words, cwd=tmp_path) for words in ([], ["--help"]))
    assert alone == asked
    assert (asked.returncode, asked.stderr) == (0, "")
    lines = {line.split()[0]: line for line in asked.stdout.splitlines() if line.startswith("    ")}
    configs = {path.stem for path in (REPOSITORY / "conf").glob("*.yaml")}
    assert lines.keys() == configs
    assert lines["extract"].endswith("Filters of trained models into a store.")


def test_a_wrong_command_is_one_line_with_the_nearest(tmp_path: Path) -> None:
    said = cli.called(filter_shift.main, "shfit", "store.uri=x", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "error: there is no command 'shfit'; did you mean 'shift'? (all commands: --help)\n"


@pytest.mark.parametrize("name", filter_shift.COMMANDS)
def test_every_command_is_the_one_it_is_by_itself(name: str, tmp_path: Path) -> None:
    by_itself = pkgutil.resolve_name(filter_shift.COMMANDS[name])
    for words in (["--help"], ["store.url=x"]):
        assert cli.called(filter_shift.main, name, *words, cwd=tmp_path) == cli.called(by_itself, *words, cwd=tmp_path)


@dataclass(frozen=True)
class Installation:
    """The project as a wheel installs it, and a folder to work in that holds packages called as ours are."""

    site: Path
    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.site), "COLUMNS": "160"}
        return subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=280
        )


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    root = tmp_path_factory.mktemp("installation")
    source, wheels, site, folder = (root / name for name in ("source", "wheels", "site", "work"))
    ours = ["analysis", "conf", "distributed", "launch", "samples"]
    for name in ours:
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True)
    for name in ("conf", "distributed", "samples", "launch"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('the {name} of somebody else')\n")
    return Installation(site, folder)


@pytest.mark.ray
def test_an_installation_works_where_packages_are_called_as_ours_are(installation: Installation) -> None:
    script = str(installation.site / "bin" / "filter-shift")
    one = ["source.models=[digits-resnet]", "store.uri=store", "cluster.local_cpus=2"]
    extracted = installation.run(script, "extract", *one)  # its actors are other processes
    assert "listed 1 = extracted 1 " in extracted.stdout, extracted.stdout + extracted.stderr
    shift = ["store.uri=store", "axes=[depth]", "cluster.local_cpus=2", "replicates=0"]
    by_module = installation.run("-m", "analysis.shift", *shift, "out=module")
    assert by_module.returncode == 0, by_module.stdout + by_module.stderr
    by_script = installation.run(script, "shift", *shift, "out=script")
    assert by_script.returncode == 0, by_script.stdout + by_script.stderr
    tables = [(installation.folder / out / "shift_depth.csv").read_text() for out in ("module", "script")]
    assert tables[0] == tables[1]
