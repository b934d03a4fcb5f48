"""Running the commands as a user does, from another folder: in another process, or in this one where that is equal."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.conftest import REPOSITORY

#: Of the terminal that a command believes to write to.
_WIDTH = "160"


@dataclass(frozen=True)
class Said:
    """How a command ended in this process: named as ``subprocess.CompletedProcess`` names them."""

    returncode: int
    stdout: str
    stderr: str


def called(main: Callable[[], None], *arguments: str, cwd: Path) -> Said:
    """What ``main()`` says and exits with, called in this process with ``arguments`` in ``cwd``."""
    argv, root, out, err = sys.argv, logging.root, io.StringIO(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    sys.argv = ["command", *arguments]
    try:
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err), patch.dict(os.environ, COLUMNS=_WIDTH):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Said(code, out.getvalue(), err.getvalue())
    finally:
        sys.argv, root.handlers[:] = argv, handlers
        root.setLevel(level)
    raise AssertionError("a command ends the process")


def run_command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python <arguments>`` in ``cwd``; ``launch/extract.py`` is resolved to the checkout's."""
    resolved = [str(REPOSITORY / a) if a.startswith("launch/") else a for a in arguments]
    env = {**os.environ, "COLUMNS": _WIDTH, **environment}
    # A script finds the project by its own place, whether it is installed or not; a module has to be found first.
    if arguments[0] in ("-m", "-c"):
        env["PYTHONPATH"] = str(REPOSITORY)
    else:
        env.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, *resolved], cwd=cwd, env=env, capture_output=True, text=True, timeout=280, check=False
    )


def extract(cwd: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``launch/extract.py`` with two CPUs."""
    return run_command("launch/extract.py", "cluster.local_cpus=2", *overrides, cwd=cwd, **environment)
