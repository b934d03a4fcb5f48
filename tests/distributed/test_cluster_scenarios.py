"""What goes wrong on a cluster in a night, with real nodes, actors and S3: afterwards nobody sees that it did."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest
from ray.cluster_utils import Cluster

from distributed.errors import UnusableStoreError
from distributed.sources.settings import LocalSettings
from tests.conftest import REPOSITORY, several_nodes
from tests.distributed.nights import (
    UPLOAD,
    Always,
    Laboratory,
    Once,
    counts_of,
    kill_an_actor,
    laboratory,
    weather,
)
from tests.s3 import S3Server, s3_server

__all__ = ["s3_server", "several_nodes"]

pytestmark = pytest.mark.ray

SMALL = {"object_store_memory": 80 * 1024**2}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """TMPDIR of this process and of the nodes that it starts. Short: Ray's sockets lie in it."""
    made = tempfile.TemporaryDirectory(prefix="n", dir="/tmp", ignore_cleanup_errors=True)
    with made as folder, patch.dict(os.environ, TMPDIR=folder):
        yield Path(folder)


@pytest.fixture(scope="module")
def lab(temporary: Path, s3_server: S3Server, several_nodes: Cluster) -> Iterator[Laboratory]:
    with laboratory(several_nodes, s3_server, temporary) as made:
        yield made


@pytest.fixture
def bucket(lab: Laboratory) -> str:
    name = f"night-{next(_numbers)}"
    lab.server.make_bucket(name)
    return name


@pytest.fixture(scope="module")
def undisturbed(lab: Laboratory) -> dict[str, pa.Table]:
    """The rows of a run that nothing happens to."""
    lab.server.make_bucket("undisturbed")
    ended = lab.run("undisturbed")
    assert ended.counts["extracted"] == ended.counts["listed"] > 5
    rows = lab.rows("undisturbed")
    assert len(rows) == 3 * ended.counts["listed"]
    lab.check("undisturbed", rows)
    return rows


def test_an_actor_is_killed(lab: Laboratory, bucket: str, undisturbed: dict[str, pa.Table]) -> None:
    kill = Once(UPLOAD, lambda: kill_an_actor(lab.cluster))
    ended = lab.run(bucket, kill)
    assert "the actor died while it read this model" in ended.said
    assert ended.counts["extracted"] == ended.counts["listed"]
    lab.check(bucket, undisturbed)


@pytest.mark.slow
def test_a_node_is_lost_and_comes_back(lab: Laboratory, bucket: str, undisturbed: dict[str, pa.Table]) -> None:
    nodes = [lab.cluster.add_node(num_cpus=2, **SMALL)]

    def lose() -> None:
        lab.cluster.remove_node(nodes.pop(), allow_graceful=False)
        with patch.object(lab.cluster, "_shutdown_at_exit", False):  # a handler of signals, which no thread may set
            nodes.append(lab.cluster.add_node(num_cpus=2, **SMALL))

    try:
        ended = lab.run(bucket, Once(UPLOAD, lose, after=1), num_cpus=2)
    finally:
        for node in nodes:
            lab.cluster.remove_node(node)
    assert re.search("^retry: .*the actor died", ended.said, re.MULTILINE)  # Ray does not always know that its node did
    assert ended.counts["extracted"] == ended.counts["listed"]
    lab.check(bucket, undisturbed)


def test_a_fifth_of_the_answers_is_503_and_uploads_are_cut(
    lab: Laboratory, bucket: str, undisturbed: dict[str, pa.Table]
) -> None:
    ended = lab.run(bucket, weather(0))
    assert ended.counts["extracted"] == ended.counts["listed"]
    lab.check(bucket, undisturbed)


@pytest.mark.parametrize(
    ("disturb", "told"),
    [
        (Once("^GET /[^?]*/store/models/", lambda: (403, "AccessDenied")), "no permission"),
        (Always(UPLOAD, (400, "ExpiredToken"), after=2), "no valid credentials"),
    ],
    ids=["a read is refused once", "credentials expire in the middle"],
)
def test_the_store_refuses(
    lab: Laboratory, bucket: str, undisturbed: dict[str, pa.Table], disturb: Once, told: str
) -> None:
    """The run ends at once, charges no model, and the next one does the rest."""
    ended = lab.run(bucket, disturb)
    assert isinstance(ended.error, UnusableStoreError)
    assert told in str(ended.error)
    assert disturb.at is not None
    assert ended.noticed is not None
    assert ended.noticed - disturb.at < 10
    assert ended.counts["failed"] == 0 < ended.counts["not finished"]
    rest = lab.run(bucket)
    assert rest.counts["extracted"] + rest.counts["already there"] == rest.counts["listed"]
    lab.check(bucket, undisturbed)


@pytest.mark.slow
def test_two_identical_jobs_at_once(lab: Laboratory, bucket: str, undisturbed: dict[str, pa.Table]) -> None:
    node = lab.cluster.add_node(num_cpus=1, **SMALL)

    def both_are_there(request: str) -> None:
        """Neither uploads a model before the other has begun."""
        runs = f"PUT /{bucket}/store/runs/"
        while request.startswith(f"PUT /{bucket}/store/filters/") and other.poll() is None:
            if len({each.partition("?")[0] for each in lab.rules.requests if each.startswith(runs)}) == 2:
                return
            time.sleep(0.1)

    try:
        other = lab.start(bucket)
        ended = lab.run(bucket, both_are_there)
        said, _ = other.communicate(timeout=200)
    finally:
        lab.cluster.remove_node(node)
    assert other.returncode == 0, said
    each = (ended.counts, counts_of(said))
    assert sum(counts["extracted"] for counts in each) == each[0]["listed"]
    assert all(counts["failed"] == counts["skipped"] == 0 for counts in each)
    lab.check(bucket, undisturbed)


@pytest.mark.slow
def test_the_driver_is_killed_and_a_second_run_does_the_rest(
    lab: Laboratory, bucket: str, undisturbed: dict[str, pa.Table]
) -> None:
    driver: list[subprocess.Popen[str]] = []
    lab.rules.disturb = Once(UPLOAD, lambda: driver[0].send_signal(signal.SIGKILL), after=1)
    driver.append(lab.start(bucket))
    assert driver[0].communicate(timeout=200)
    assert driver[0].returncode == -signal.SIGKILL
    ended = lab.run(bucket)
    assert ended.counts["extracted"] + ended.counts["already there"] == ended.counts["listed"]
    lab.check(bucket, undisturbed)


@pytest.fixture(scope="module")
def everything(temporary: Path) -> LocalSettings:
    """Real checkpoints, samples, and architectures of timm with random weights, in one folder."""
    import safetensors.torch
    import timm

    folder = Path(tempfile.mkdtemp(dir=temporary))
    for architecture in ("resnet10t", "mobilenetv3_small_050", "ghostnet_050", "regnetx_002"):
        place = folder / architecture
        place.mkdir()
        safetensors.torch.save_model(timm.create_model(architecture), str(place / "model.safetensors"))
        (place / "config.json").write_text(json.dumps({"architecture": architecture}))
    for sample in sorted((REPOSITORY / "samples/models").iterdir()):
        shutil.copytree(sample, folder / sample.name)
    for real in sorted((REPOSITORY.parent / "shared/checkpoints").glob("*")):
        if real.suffix in {".pth", ".th", ".onnx"}:
            shutil.copy(real, folder / real.name)
    return LocalSettings(str(folder))


@pytest.fixture(scope="module")
def calm(lab: Laboratory, everything: LocalSettings) -> tuple[dict[str, pa.Table], list[pa.Table]]:
    """The rows of everything, and its drifts, when nothing happens."""
    lab.server.make_bucket("calm")
    ended = lab.run("calm", source=everything)
    assert ended.counts["extracted"] + ended.counts.get("same content", 0) == ended.counts["listed"] > 19
    return lab.rows("calm"), lab.drifts("calm")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
def test_everything_in_one_night(
    lab: Laboratory,
    bucket: str,
    everything: LocalSettings,
    calm: tuple[dict[str, pa.Table], list[pa.Table]],
    seed: int,
) -> None:
    """Bad weather, and within it an outage of the store of a minute and an actor that is killed."""
    bad, kill = weather(seed, 0.1), Once(UPLOAD, lambda: kill_an_actor(lab.cluster), after=seed)
    outage = Once("^PUT .*/models/", lambda: None, after=1)

    def disturb(request: str) -> tuple[int, str] | None:
        kill(request)
        outage(request)
        if outage.at is not None and time.monotonic() - outage.at < 60:
            return 503, "SlowDown"
        return bad(request)

    ended = lab.run(bucket, disturb, everything)
    while ended.counts.get("not finished", 0) + ended.counts["failed"]:
        assert not any(key.startswith("store/skips/") for key in lab.rows(bucket))
        ended = lab.run(bucket, source=everything)
    rows, drifts = calm
    lab.check(bucket, rows)
    assert lab.drifts(bucket) == drifts
