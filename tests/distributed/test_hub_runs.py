"""Runs against a Hub on loopback: the real client, in the actors' processes too, with a network that fails."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from huggingface_hub import constants

from launch.extract import main
from tests import cli
from tests.distributed.sources.conftest import hub
from tests.loopback_hub import Fault, FaultKind, LoopbackHub

__all__ = ["hub"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def extract(folder: Path, *overrides: str) -> cli.Said:
    """The command in this process, its actors in others, a store in ``folder``."""
    return cli.called(main, *overrides, f"store.uri={folder}/store", "cluster.actors=1", cwd=folder)


def make_repository(root: Path, repo_id: str, seed: int) -> None:
    folder = root / repo_id
    folder.mkdir(parents=True)
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    padding = torch.zeros(100_000)  # the 3x3 weights are a small part of the file, as in most models
    safetensors.torch.save_file({"conv.weight": weight, "fc.weight": padding}, folder / "model.safetensors")
    (folder / "README.md").write_text("---\nlicense: mit\npipeline_tag: image-classification\n---\n# A model\n")


def test_a_network_that_fails_and_recovers(tmp_path: Path, hub: LoopbackHub) -> None:
    store = tmp_path / "store"
    for number in range(3):
        make_repository(hub.root, f"lab/model-{number}", number)
    overrides = ["source=hub", "source.author=lab", "extract.max_attempts=1"]
    # Whatever is asked of model-1's weights gets the first bytes only, with a header that says so: silent damage.
    hub.faults.append(Fault(FaultKind.SHORT_BODY, pattern="GET .*model-1.*safetensors|GET .*cdn.*", times=10_000))
    broken = extract(tmp_path, *overrides)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "failed" in broken.stdout
    failed = pq.read_table(store / "failures").to_pylist()
    assert failed
    assert all(row["retryable"] for row in failed)
    assert all("\n" not in row["message"] for row in failed)

    hub.faults.clear()
    mended = extract(tmp_path, *overrides)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "+ skipped 0 + failed 0" in mended.stdout
    assert not list((store / "failures").glob("*.parquet"))

    before = len(hub.requests)
    again = extract(tmp_path, *overrides)
    assert "listed 3 = extracted 0 + already there 3 + skipped 0 + failed 0" in again.stdout
    assert not [r for r in hub.requests[before:] if "resolve" in r.path and "safetensors" in r.path]
    models = pq.read_table(store / "models").to_pylist()
    assert sorted(row["name"] for row in models) == ["lab/model-0", "lab/model-1", "lab/model-2"]
    for row in models:
        assert row["num_filters"] == 24
        assert row["task"] == "Classification"
        assert len(row["revision"]) == 40


def test_without_a_network_the_error_is_one_line_at_once(
    tmp_path: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    said = extract(tmp_path, "source=hub", "source.repos=[lab/any]")
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"127.0.0.1:{port}" in line


def test_the_same_weights_in_several_repositories_are_read_once_while_they_can_be(
    tmp_path: Path, hub: LoopbackHub
) -> None:
    for name in ("lab/a-first", "lab/b-copy", "lab/c-copy"):
        make_repository(hub.root, name, seed=0)
    make_repository(hub.root, "lab/d-other", seed=1)
    hub.faults.append(Fault(FaultKind.NOT_FOUND, pattern="GET .*a-first/resolve.*safetensors", times=10_000))
    named = "source.repos=[lab/a-first,lab/b-copy,lab/c-copy,lab/d-other]"
    overrides = ["source=hub", named, "source.threads=1", "extract.max_attempts=1"]
    said = extract(tmp_path, *overrides)
    assert "listed 4 = extracted 2 + already there 0 + same content 1 + skipped 0 + failed 1" in said.stdout
    assert "lab/c-copy: the same content as lab/b-copy, counted once" in said.stdout
    (skip,) = pq.read_table(tmp_path / "store/skips").to_pylist()
    models = {row["name"]: row for row in pq.read_table(tmp_path / "store/models").to_pylist()}
    assert (skip["name"], skip["reason"]) == ("lab/c-copy", "duplicate_of")
    assert skip["found"] == models["lab/b-copy"]["model_id"]
    assert models["lab/b-copy"]["sha256"] != models["lab/d-other"]["sha256"] is not None

    hub.faults.clear()
    before = len(hub.requests)
    again = extract(tmp_path, *overrides)  # the twin of an earlier run: not read
    assert "listed 4 = extracted 0 + already there 2 + same content 2 + skipped 0 + failed 0" in again.stdout
    assert not [each for each in hub.requests[before:] if "resolve" in each.path]
    assert not list((tmp_path / "store/failures").glob("*.parquet"))


def test_a_dry_run_tells_what_of_the_files_is_needed_by_their_headers_alone(tmp_path: Path, hub: LoopbackHub) -> None:
    make_repository(hub.root, "lab/a", seed=0)
    make_repository(hub.root, "lab/copy", seed=0)
    old = hub.root / "lab/legacy"
    old.mkdir()
    torch.save({"w": torch.zeros(2**19)}, old / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    overrides = ["source=hub", "source.author=lab", "extract.dry_run=true"]
    quick = extract(tmp_path, *overrides)
    assert "listed 3 = to extract 2 (2.5 MB) + already there 0 + same content 1 + skipped 0 + failed 0" in quick.stdout
    assert "to its API for the listing, 2 addresses of files, at least 0 s by its budget" in quick.stdout
    assert not [each for each in hub.requests if "resolve" in each.path]

    exact = extract(tmp_path, *overrides, "extract.plan=exact")
    assert re.search(r"3x3 weights: 864 B of 401\.\d kB in the files of 1 models", exact.stdout), exact.stdout
    assert "extract: not known before all of it is read" in exact.stdout
    sizes = [each.sent for each in hub.requests if each.kind != "api"]
    assert 0 < sum(sizes) < 200_000
    assert not (tmp_path / "store").exists()
