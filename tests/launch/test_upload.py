"""What a submitted job's working directory uploads, by Ray's own packaging, and that it is enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY


def uploaded(folder: Path, excludes: Iterable[str] = ()) -> tuple[int, dict[str, int]]:
    """Bytes of the package that Ray makes of ``folder``, and its files with their sizes."""
    from ray._private.runtime_env.packaging import create_package

    package = folder.with_suffix(".zip")
    package.unlink(missing_ok=True)
    create_package(str(folder), package, include_gitignore=True, excludes=list(excludes))
    with zipfile.ZipFile(package) as members:
        return package.stat().st_size, {m.filename: m.file_size for m in members.infolist() if not m.is_dir()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout that git knows or would add, and some of those that lie about in one that is used."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("upload") / "checkout"
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    for name in ("data/filters/models/a.parquet", ".venv/lib/torch.so", ".git/objects/pack/p.pack", "outputs/b.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(1 << 20))
    return folder


def test_what_no_node_needs_stays_here(checkout: Path) -> None:
    size, files = uploaded(checkout)
    tops = {name.split("/")[0] for name in files}
    assert {"analysis", "conf", "distributed", "launch", "samples"} <= tops
    assert not tops & {"tests", "docs", "notebooks", "benchmarks", "data", "outputs", ".git", ".venv", ".ci"}
    samples = sum(count for name, count in files.items() if name.startswith("samples/models/"))
    assert size - samples < 2_500_000

    (checkout / ".rayignore").rename(checkout.parent / "aside")
    before, _ = uploaded(checkout)
    (checkout.parent / "aside").rename(checkout / ".rayignore")
    assert size < before - 1_500_000, (before, size)


def test_a_job_without_samples_uploads_the_code_alone(checkout: Path) -> None:
    environment = yaml.safe_load((REPOSITORY / "launch/runtime_env.yaml").read_text(encoding="utf-8"))
    size, files = uploaded(checkout, environment["excludes"])
    assert size < 2_500_000
    assert not [name for name in files if name.startswith("samples/models/")]
    assert "samples/architectures.py" in files


def test_what_is_uploaded_is_enough(checkout: Path, tmp_path: Path) -> None:
    """It runs where nothing of the project is installed: each of its modules is found in what was uploaded."""
    uploaded(checkout)
    with zipfile.ZipFile(checkout.with_suffix(".zip")) as members:
        members.extractall(tmp_path)
    code = (
        "import importlib, pkgutil, sys\n"
        "packages = ('analysis', 'conf', 'distributed', 'launch', 'samples')\n"
        "is_installed = lambda finder: 'editable' in getattr(finder, '__module__', type(finder).__module__)\n"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if not is_installed(finder)]\n"
        "for name in packages:\n"
        "    package = importlib.import_module(name)\n"
        "    assert package.__file__.startswith(sys.argv[1]), package.__file__\n"
        "import distributed.actor, distributed.driver, distributed.extraction, analysis.shift.__main__\n"
        "import launch.extract, launch.filter_shift, samples.architectures\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    helped = subprocess.run(
        [sys.executable, "launch/extract.py", "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "source=timm" in helped.stdout, helped.stderr
