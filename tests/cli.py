"""Running the commands as a user does: another process, from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def run_command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python <arguments>`` in ``cwd``; ``launch/extract.py`` is resolved to the checkout's."""
    resolved = [str(REPOSITORY / a) if a.startswith("launch/") else a for a in arguments]
    env = {**os.environ, "COLUMNS": "160", **environment}
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


def shift(cwd: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m analysis.shift`` with two CPUs."""
    return run_command("-m", "analysis.shift", "cluster.local_cpus=2", *overrides, cwd=cwd, **environment)
