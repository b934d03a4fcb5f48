"""The product used as on a cluster: a head with token authentication, submitted jobs, S3. Equal to the local run."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.jobs import BIN, REPOSITORY, Head, running_head, submit
from tests.s3 import S3Server, s3_server

__all__ = ["s3_server"]

AXES = "axes=[task,visual_category,depth]"


@pytest.fixture(scope="module")
def head(s3_server: S3Server) -> Iterator[Head]:
    with running_head(s3_server) as made:
        yield made


def matrix(folder: Path, axis: str) -> dict[tuple[str, str], float]:
    table = pq.read_table(folder / f"shift_{axis}.parquet")
    return {(row["a"], row["b"]): row["drift"] for row in table.to_pylist()}


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_submitted_jobs_on_s3_equal_the_local_run(head: Head, s3_server: S3Server, tmp_path: Path) -> None:
    bucket = f"cluster-{secrets.token_hex(4)}"
    s3_server.make_bucket(bucket)
    uri = f"s3://{bucket}/filters"
    extracted = submit(head, "python", "launch/extract.py", "cluster=ray", "store=s3", f"store.uri={uri}")
    assert extracted.returncode == 0, extracted.stdout + extracted.stderr
    assert "+ failed 0" in extracted.stdout
    shift = ["python", "-m", "analysis.shift", "cluster=ray", "store=s3", f"store.uri={uri}"]
    shifted = submit(head, *shift, AXES, f"out={tmp_path}/s3")
    assert shifted.returncode == 0, shifted.stdout + shifted.stderr

    python = str(BIN / "python")
    here = {**os.environ, "PATH": head.environment["PATH"]}
    for command in (
        [python, "launch/extract.py", f"store.uri={tmp_path}/store", "cluster.local_cpus=2"],
        [python, "-m", "analysis.shift", f"store.uri={tmp_path}/store", AXES, f"out={tmp_path}/local"],
    ):
        done = subprocess.run(command, cwd=REPOSITORY, env=here, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr

    remote = Store.open(StoreSettings(uri, endpoint_url=s3_server.endpoint_url)).arrow_filesystem()
    prefix = uri.removeprefix("s3://")
    local_files = sorted(p.relative_to(tmp_path / "store") for p in (tmp_path / "store").rglob("*.parquet"))
    compared = 0
    for relative in local_files:
        if relative.parts[0] not in ("filters", "layers", "models"):
            continue
        theirs = pq.read_table(f"{prefix}/{relative.as_posix()}", filesystem=remote)
        ours = pq.read_table(tmp_path / "store" / relative)
        if relative.parts[0] == "models":
            # Where the sample files lie and when they were read differ; everything measured is the same.
            volatile = ["uri", "reference_key", "extracted_at"]
            theirs, ours = theirs.drop_columns(volatile), ours.drop_columns(volatile)
        assert theirs.equals(ours), relative
        compared += 1
    listing = remote.get_file_info(pyarrow.fs.FileSelector(f"{prefix}/models", recursive=True))
    assert compared == 3 * len([info for info in listing if info.path.endswith(".parquet")])
    for axis in ("task", "visual_category", "depth"):
        assert matrix(tmp_path / "s3", axis) == pytest.approx(matrix(tmp_path / "local", axis), rel=1e-9, abs=1e-12)


#: Prints where the driver and a worker of a job have the project from, and whether the samples' weights are there.
PLACES = (
    "import distributed, ray; ray.init('auto', log_to_driver=False);"
    "there = ray.remote(lambda: __import__('distributed').__file__);"
    "print('PLACES', distributed.__file__, ray.get(there.remote()), __import__('os').path.exists('samples/models'))"
)


@pytest.mark.ray
def test_what_is_uploaded_goes_before_what_is_installed(head: Head) -> None:
    """The project is installed on this machine as well: driver and workers of a job take what was uploaded with it."""
    for uploads, has_samples in (
        (("--working-dir", "."), "True"),
        (("--working-dir", ".", "--runtime-env", "launch/runtime_env.yaml"), "False"),
    ):
        ran = submit(head, "python", "-c", PLACES, uploads=uploads)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        [line] = [line for line in ran.stdout.splitlines() if line.startswith("PLACES ")]
        _, *modules, samples = line.split()
        assert all("working_dir_files" in module for module in modules), modules
        assert samples == has_samples


@pytest.mark.ray
def test_an_installed_project_needs_no_upload(head: Head, tmp_path: Path) -> None:
    if not (BIN / "filter-shift").is_file():
        pytest.skip("the project is not installed here")
    models = "source.models=[maps-espcn]"
    ran = submit(head, "filter-shift", "extract", "cluster=ray", models, f"store.uri={tmp_path}/store", uploads=())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "listed 1 = extracted 1" in ran.stdout


@pytest.mark.ray
def test_a_stopped_job_says_what_becomes_of_it_and_nothing_else(head: Head, s3_server: S3Server) -> None:
    bucket, name = f"stopped-{secrets.token_hex(4)}", f"stopped-{secrets.token_hex(4)}"
    s3_server.make_bucket(bucket)

    def job(*command: str) -> str:
        ask = [str(BIN / "ray"), "job", command[0], "--address", head.dashboard, *command[1:]]
        done = subprocess.run(ask, cwd=REPOSITORY, env=head.environment, capture_output=True, text=True, timeout=200)
        return done.stdout + done.stderr

    extract = ["python", "launch/extract.py", "cluster=ray", "cluster.num_gpus=1", f"store.uri=s3://{bucket}/filters"]
    job("submit", "--no-wait", "--submission-id", name, "--working-dir", ".", "--", *extract)
    until = time.monotonic() + 100
    while "waiting for 1 actor: each needs 1 GPU, the largest free node has 0" not in job("logs", name):
        assert time.monotonic() < until, job("logs", name)
    job("stop", name)
    said = job("logs", name)
    assert "interrupted: what was finished is in the store" in said
    for noise in ("SIGTERM", "***", "Traceback", "raylet", "\x1b["):
        assert noise not in said.partition("waiting for 1 actor")[2]


@pytest.mark.ray
def test_a_submission_without_the_token_is_refused(head: Head) -> None:
    wrong = {**head.environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    refused = submit(head, "python", "-c", "print('must not run')", environment=wrong)
    assert refused.returncode != 0
    assert "must not run" not in refused.stdout
