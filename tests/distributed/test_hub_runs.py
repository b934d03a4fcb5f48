"""Runs against a Hub on loopback: the real client, in the actors' processes, with a network that fails."""

from __future__ import annotations

import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from tests import cli
from tests.loopback_hub import Fault, FaultKind, LoopbackHub, hub_environment

pytestmark = pytest.mark.ray


def make_repository(root: Path, repo_id: str, seed: int) -> None:
    folder = root / repo_id
    folder.mkdir(parents=True)
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    padding = torch.zeros(100_000)  # the 3x3 weights are a small part of the file, as in most models
    safetensors.torch.save_file({"conv.weight": weight, "fc.weight": padding}, folder / "model.safetensors")
    (folder / "README.md").write_text("---\nlicense: mit\npipeline_tag: image-classification\n---\n# A model\n")


def test_a_network_that_fails_and_recovers(tmp_path: Path) -> None:
    root, store = tmp_path / "hub", tmp_path / "store"
    for number in range(3):
        make_repository(root, f"lab/model-{number}", number)
    overrides = [
        "source=hub",
        "source.author=lab",
        f"store.uri={store}",
        "cluster.actors=1",
        "extract.max_attempts=1",
    ]
    with LoopbackHub(root) as hub:
        environment = hub_environment(hub, tmp_path / "home")
        # Whatever is asked of model-1's weights gets the first bytes only, with a header that says so: silent damage.
        hub.faults.append(Fault(FaultKind.SHORT_BODY, pattern="GET .*model-1.*safetensors|GET .*cdn.*", times=10_000))
        broken = cli.extract(tmp_path, *overrides, **environment)
        assert broken.returncode == 1, broken.stdout + broken.stderr
        assert "failed" in broken.stdout
        failed = pq.read_table(store / "failures").to_pylist()
        assert failed
        assert all(row["retryable"] for row in failed)
        assert all("\n" not in row["message"] for row in failed)

        hub.faults.clear()
        mended = cli.extract(tmp_path, *overrides, **environment)
        assert mended.returncode == 0, mended.stdout + mended.stderr
        assert "+ skipped 0 + failed 0" in mended.stdout
        assert not list((store / "failures").glob("*.parquet"))

        before = len(hub.requests)
        again = cli.extract(tmp_path, *overrides, **environment)
        assert "listed 3 = extracted 0 + already there 3 + skipped 0 + failed 0" in again.stdout
        assert not [r for r in hub.requests[before:] if "resolve" in r.path and "safetensors" in r.path]
    models = pq.read_table(store / "models").to_pylist()
    assert sorted(row["name"] for row in models) == ["lab/model-0", "lab/model-1", "lab/model-2"]
    for row in models:
        assert row["num_filters"] == 24
        assert row["task"] == "Classification"
        assert len(row["revision"]) == 40


def test_failures_within_max_failures_leave_the_exit_code_at_0(tmp_path: Path) -> None:
    root = tmp_path / "hub"
    make_repository(root, "lab/only", 0)
    with LoopbackHub(root) as hub:
        hub.faults.append(Fault(FaultKind.UNAVAILABLE, pattern="GET .*safetensors|GET .*cdn", times=10_000))
        said = cli.extract(
            tmp_path,
            *("source=hub", "source.repos=[lab/only]", f"store.uri={tmp_path}/store"),
            *("extract.max_attempts=1", "extract.max_failures=1"),
            **hub_environment(hub, tmp_path / "home"),
        )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "failed 1" in said.stdout


def test_without_a_network_the_error_is_one_line_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    said = cli.extract(
        tmp_path,
        *("source=hub", "source.repos=[lab/any]", f"store.uri={tmp_path}/store"),
        HF_ENDPOINT=f"http://127.0.0.1:{port}",
        HF_HOME=str(tmp_path / "home"),
    )
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("error:")]
    assert f"127.0.0.1:{port}" in line
