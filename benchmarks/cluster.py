"""Benchmark 8: many small models through Ray, and what failures on a cluster cost.

    python -m benchmarks.cluster models   2 000 small local models through 2 actors: first run, second run, dry run
    python -m benchmarks.cluster faults   what becomes of the samples on a Ray of several nodes into S3, by failure

The seconds of ``models`` are of the whole command, Ray's start included; CPU time is that of all its processes. Those
of ``faults`` are of the runs that a failure needs until all is in the store; noticed is when the first one speaks of it
or ends by it, uploads repeated are requests that bring a model's filters once more.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import ROOT, TreeSampler, Usage, made_folder
from benchmarks.output import Column, Goal, Row, bars, finish, number

MODEL_COLUMNS = (
    Column("run", "run"),
    Column("models", "models", number(0)),
    Column("seconds", "s", number(1)),
    Column("rate", "models a second", number(1)),
    Column("cpu", "CPU s", number(1)),
    Column("line", "closing line"),
)

FAULT_COLUMNS = (
    Column("fault", "failure"),
    Column("outcome", "outcome"),
    Column("noticed", "noticed after, s", number(1)),
    Column("uploads", "uploads repeated", number(0)),
    Column("requests", "requests a model", number(1)),
    Column("seconds", "s", number(1)),
)

#: Run → seconds it may take, of the 2 000 models of the goal.
GOALS = {"first": 2000 / 60, "second": 3.0}

DRY = ("extract.dry_run=true",)


def extract(*overrides: str) -> tuple[str, Usage]:
    """The last line of ``launch/extract.py`` that adds up, and what the command took.

    Raises:
        RuntimeError: it failed; the end of its output.
    """
    command = [sys.executable, "launch/extract.py", "extract.progress=off", *overrides]
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        sampler = TreeSampler(child.pid).start()
        try:
            code = child.wait(3600)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(30)
            usage = sampler.stop()
        output.seek(0)
        said = output.read()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{said[-3000:]}")
    return [line for line in said.splitlines() if line.startswith("listed ")][-1], usage


def models(place: Path, count: int, actors: int) -> list[Row]:
    """Rows of the table of small models."""
    import safetensors.torch
    import torch

    source = place / "models"
    source.mkdir()
    for index in range(count):
        weights = torch.randn(2, 8, 4, 3, 3, generator=torch.Generator().manual_seed(index))
        named = {"conv1.weight": weights[0, :, :3].clone(), "conv2.weight": weights[1].clone()}
        safetensors.torch.save_file(named, source / f"net-{index:05}.safetensors")
    given = ("source=local", f"source.path={source}", f"store.uri={place / 'store'}", f"cluster.actors={actors}")
    rows: list[Row] = []
    for run, more in (("dry", DRY), ("first", ()), ("second", ())):
        line, usage = extract(*given, *more)
        rate = count / usage.seconds
        kept = {"seconds": usage.seconds, "rate": rate, "cpu": usage.cpu_seconds, "line": line}
        rows.append({"run": run, "models": count, **kept})
        print(f"{run}: {usage.seconds:.1f} s, {usage.cpu_seconds:.1f} s of CPU: {line}", flush=True)
    return rows


def model_goals(rows: Sequence[Row]) -> list[Goal]:
    """Of the first run and the second."""
    found = []
    for row in rows:
        if row["run"] in GOALS:
            most = GOALS[row["run"]] * (row["models"] / 2000 if row["run"] == "first" else 1)
            text = f"{row['models']:,} models, {row['run']} run: {row['seconds']:.1f} s (goal: at most {most:.1f})"
            found.append(Goal(text, row["seconds"] <= most))
    return found


def faults(place: Path) -> list[Row]:
    """Rows of the table of failures.

    Raises:
        AssertionError: after one of them something is wrong or left.
    """
    from unittest.mock import patch

    import ray
    from ray.cluster_utils import Cluster

    from tests.distributed.nights import UPLOAD, Always, Laboratory, Once, kill_an_actor, laboratory, weather
    from tests.s3 import running_s3

    small = {"num_cpus": 2, "object_store_memory": 80 * 1024**2}

    def lose(lab: Laboratory) -> None:
        lab.cluster.remove_node(min(lab.cluster.worker_nodes, key=id), allow_graceful=False)
        with patch.object(lab.cluster, "_shutdown_at_exit", False):  # a handler of signals, which no thread may set
            lab.cluster.add_node(**small)

    with running_s3() as server:
        os.environ.update({key: value for key, value in server.environment.items() if key != "AWS_ENDPOINT_URL"})
        os.environ["TMPDIR"] = str(place)
        cluster = Cluster(initialize_head=True, head_node_args={**small, "num_cpus": 0, "include_dashboard": False})
        cluster.add_node(**small)
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            with laboratory(cluster, server, place) as lab:
                happenings = {
                    "none": None,
                    "an actor killed": Once(UPLOAD, lambda: kill_an_actor(cluster), after=1),
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
        finally:
            ray.shutdown()
            cluster.shutdown()
    return rows


def fault_goals(rows: Sequence[Row]) -> list[Goal]:
    """Failures are noticed, and cost no row."""
    slowest = max((row["noticed"] for row in rows if row["noticed"] is not None), default=0.0)
    return [Goal(f"{len(rows)} runs equal row for row; the slowest failure was noticed after {slowest:.1f} s", None)]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("what", choices=["models", "faults"])
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--folder", type=made_folder, help="where models are made and deleted; default: temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="c", ignore_cleanup_errors=True) as folder:
        if given.what == "models":
            rows = models(Path(folder), given.models, given.actors)
            columns, goals, label = MODEL_COLUMNS, model_goals(rows), "run"
        else:
            rows = faults(Path(folder))
            columns, goals, label = FAULT_COLUMNS, fault_goals(rows), "fault"
        finish(
            f"cluster_{given.what}",
            given.out,
            rows,
            columns,
            lambda figure, found: bars(figure, found, lambda row: str(row[label]), "seconds", "s"),
            goals,
        )


if __name__ == "__main__":
    main()
