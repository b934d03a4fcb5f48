"""A real head node with token authentication, and jobs submitted to it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.s3 import S3Server

REPOSITORY = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Head:
    """A running head node.

    Attributes:
        address: where drivers of this machine join it.
        dashboard: its job server.
        environment: in which its token is known, and the S3 service.
    """

    address: str
    dashboard: str
    environment: dict[str, str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_head(s3_server: S3Server) -> Iterator[Head]:
    """Start a head of two CPUs on ports of its own, and end it."""
    port, dashboard_port = free_port(), free_port()
    environment = {
        **os.environ,
        **s3_server.environment,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    for inherited in ("RAY_ADDRESS", "PYTHONPATH", "RAY_JOB_ID"):
        environment.pop(inherited, None)
    with tempfile.TemporaryDirectory(prefix="head", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [
            *(str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2", f"--temp-dir={folder}"),
            *(f"--port={port}", f"--dashboard-port={dashboard_port}", "--dashboard-host=127.0.0.1"),
            *("--node-ip-address=127.0.0.1", f"--ray-client-server-port={free_port()}"),
            *("--object-store-memory=268435456", f"--dashboard-agent-listen-port={free_port()}"),
        ]
        log = Path(folder) / "head.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            dashboard = f"http://127.0.0.1:{dashboard_port}"
            wait_for(dashboard, environment["RAY_AUTH_TOKEN"], process, log)
            yield Head(f"127.0.0.1:{port}", dashboard, environment)
        finally:
            # Asked to end, 'ray start --block' asks each of these and waits half a minute.
            head = psutil.Process(process.pid)
            for each in (*head.children(recursive=True), head):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait(timeout=60)


def wait_for(dashboard: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the job server answers a request that carries the token."""
    request = urllib.request.Request(f"{dashboard}/api/version", headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the head ended: {log.read_text(errors='replace')}"
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the head did not answer: {log.read_text(errors='replace')}")


def submit(
    head: Head,
    *entrypoint: str,
    environment: dict[str, str] | None = None,
    uploads: tuple[str, ...] = ("--working-dir", "."),
) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "ray"), "job", "submit", "--address", head.dashboard, *uploads, "--", *entrypoint]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment or head.environment, capture_output=True, text=True, timeout=400
    )
