"""Benchmark 8 on a real Ray of several nodes: what failures cost, and what more nodes bring."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.compute as pc
import ray
from ray.cluster_utils import Cluster

from benchmarks.output import Column, Goal, Row, number
from distributed.sources.settings import LocalSettings
from tests.distributed.nights import UPLOAD, Always, Laboratory, Once, kill_an_actor, laboratory, weather
from tests.s3 import S3Server, running_s3

FAULT_COLUMNS = (
    Column("fault", "failure"),
    Column("outcome", "outcome"),
    Column("noticed", "noticed after, s", number(1)),
    Column("uploads", "uploads repeated", number(0)),
    Column("requests", "requests a model", number(1)),
    Column("seconds", "s", number(1)),
)

NODE_COLUMNS = (
    Column("nodes", "nodes", number(0)),
    Column("models", "models", number(0)),
    Column("seconds", "s", number(1)),
    Column("rate", "models a second", number(2)),
    Column("times", "times one node", number(2)),
)

SMALL = {"num_cpus": 2, "object_store_memory": 80 * 1024**2}

#: Seconds that each request to the store takes longer: nodes of one machine have its processors together, and what can
#: be seen of more of them is how much of such waiting they do at the same time.
LATENCY = 0.15


@contextmanager
def cluster_of(place: Path, server: S3Server, *nodes: dict[str, Any]) -> Iterator[Laboratory]:
    """A head without a processor, and nodes."""
    os.environ.update({key: value for key, value in server.environment.items() if key != "AWS_ENDPOINT_URL"})
    os.environ["TMPDIR"] = str(place)
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "num_cpus": 0, "include_dashboard": False})
    for node in nodes:
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with laboratory(cluster, server, place) as lab:
            yield lab
    finally:
        ray.shutdown()
        cluster.shutdown()


def scaling(place: Path, models: Path, counts: Sequence[int] = (1, 2, 4)) -> list[Row]:
    """Rows of the table of nodes: local models into a store far away, an actor a node.

    The rate is between the first model of a run and its last: without the start of processes.
    """

    def far(request: str) -> None:
        time.sleep(LATENCY)

    rows: list[Row] = []
    with running_s3() as server:
        for nodes in counts:
            bucket = f"nodes-{nodes}"
            server.make_bucket(bucket)
            with cluster_of(place, server, *[{**SMALL, "num_cpus": 1}] * nodes) as lab:
                ended = lab.run(bucket, far, LocalSettings(path=str(models)), actors=None)
                stored = [
                    table for key, table in lab.rows(bucket, timed=True).items() if key.startswith("store/models/")
                ]
            if ended.counts["extracted"] != len(stored):
                raise AssertionError(ended.said)
            times = sorted(pc.cast(table["extracted_at"], "int64")[0].as_py() / 1000 for table in stored)
            rate = (len(times) - 1) / (times[-1] - times[0])
            kept = {"seconds": ended.seconds, "rate": rate, "times": rate / (rows[0]["rate"] if rows else rate)}
            rows.append({"nodes": nodes, "models": len(times), **kept})
            print(f"{nodes} nodes: {rate:.2f} models a second", flush=True)
    return rows


def scaling_goals(rows: Sequence[Row]) -> list[Goal]:
    """More nodes do more."""
    last = rows[-1]
    return [Goal(f"{last['nodes']} nodes do {last['times']:.2f} times what one does", None)]


def faults(place: Path) -> list[Row]:
    """Rows of the table of failures.

    Raises:
        AssertionError: after one of them something is wrong or left.
    """

    def lose(lab: Laboratory) -> None:
        lab.cluster.remove_node(min(lab.cluster.worker_nodes, key=id), allow_graceful=False)
        with patch.object(lab.cluster, "_shutdown_at_exit", False):  # a handler of signals, which no thread may set
            lab.cluster.add_node(**SMALL)

    with running_s3() as server, cluster_of(place, server, SMALL) as lab:
        happenings = {
            "none": None,
            "an actor killed": Once(UPLOAD, lambda: kill_an_actor(lab.cluster), after=1),
            "a node lost, and back": Once(UPLOAD, lambda: lose(lab), after=1),
            "20 % 503, first uploads cut": weather(0),
            "a read answered 403 once": Once("^GET /[^?]*/store/models/", lambda: (403, "AccessDenied")),
            "credentials expired": Always(UPLOAD, (400, "ExpiredToken"), after=2),
            "the driver killed": Once(UPLOAD, lambda: driver.send_signal(signal.SIGKILL), after=1),
        }
        rows: list[Row] = []
        for index, (fault, disturb) in enumerate(happenings.items()):
            bucket = f"fault-{index}"
            server.make_bucket(bucket)
            lab.rules.requests.clear()
            noticed, seconds, told = None, 0.0, ""
            if fault == "the driver killed":
                lab.rules.disturb, driver = disturb, lab.start(bucket)
                driver.communicate(timeout=300)
                told, disturb = "killed; ", None
            while True:
                ended = lab.run(bucket, disturb)
                counts, seconds = ended.counts, seconds + ended.seconds
                told += " + ".join(f"{kind} {count}" for kind, count in counts.items() if count)
                if isinstance(disturb, Once) and disturb.at is not None and ended.noticed is not None:
                    noticed = ended.noticed - disturb.at
                if counts["extracted"] + counts["already there"] == counts["listed"]:
                    break
                told, disturb = f"{told}; ", None
            uploads = sum(request.startswith(f"PUT /{bucket}/store/filters/") for request in lab.rules.requests)
            kept = {"noticed": noticed, "uploads": uploads - counts["listed"], "seconds": seconds}
            asked = len(lab.rules.requests) / counts["listed"]
            rows.append({"fault": fault, "outcome": told, "requests": asked, **kept})
            if fault == "none":
                undisturbed = lab.rows(bucket)
            lab.check(bucket, undisturbed)
            print(f"{fault}: {told}, {seconds:.1f} s", flush=True)
    return rows


def fault_goals(rows: Sequence[Row]) -> list[Goal]:
    """Failures are noticed, and cost no row."""
    slowest = max((row["noticed"] for row in rows if row["noticed"] is not None), default=0.0)
    return [Goal(f"{len(rows)} runs equal row for row; the slowest failure was noticed after {slowest:.1f} s", None)]
