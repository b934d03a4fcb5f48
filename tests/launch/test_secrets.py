"""Tokens of a run, and who may speak to its Ray."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli import extract
from tests.conftest import REPOSITORY

#: A command's own Ray; another process tries to join it with another token, and with none.
INTRUDED = """
import os, subprocess, sys
from distributed.cluster import connected
from distributed.settings import ClusterSettings

with connected(ClusterSettings(local_cpus=1, object_store_memory=100 * 2**20)):
    import ray
    assert not ray._private.worker._global_node.webui_url, "no dashboard"
    join = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False); print('joined', len(ray.nodes()))"
    address = ray._private.worker._global_node.gcs_address
    for change in ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"}):
        try:
            tried = subprocess.run([sys.executable, "-c", join, address], env=os.environ | change, timeout=12,
                                   capture_output=True, text=True)
            print("told", tried.stdout.strip(), tried.returncode)
        except subprocess.TimeoutExpired:
            print("told nothing")
"""


@pytest.mark.ray
def test_a_token_is_nowhere_but_in_memory(tmp_path: Path) -> None:
    """Neither in the store, in what is printed, nor in any file that Ray keeps of a session."""
    token = f"hf_{secrets.token_hex(20)}"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.pth").write_bytes(b"no checkpoint")
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as session:
        overrides = ("source=local", "source.path=models", "store.uri=store", "log=json")
        ran = extract(tmp_path, *overrides, HF_TOKEN=token, RAY_TMPDIR=session)
        assert "skipped 1" in ran.stdout, ran.stderr
        files = [path for root in (Path(session), tmp_path) for path in root.rglob("*") if path.is_file()]
        assert any("worker" in path.name for path in files), "the logs of the actors are among them"
        assert not [path for path in files if token.encode() in path.read_bytes()]
    assert token not in ran.stdout + ran.stderr


@pytest.mark.ray
def test_nobody_else_joins_the_ray_of_a_command() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_AUTH", "RAY_ADDRESS"))
    }
    ran = subprocess.run(
        [sys.executable, "-c", INTRUDED], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("told") == 2
    assert "joined" not in ran.stdout
