"""Benchmark 8: many small models through Ray, and what failures on a cluster cost.

    python -m benchmarks.cluster models   2 000 small local models through 2 actors: first run, second run, dry run
    python -m benchmarks.cluster job      one sample into S3 by a submitted job, and by the same command from a shell
    python -m benchmarks.cluster nodes    small models into a store far away from 1, 2 and 4 simulated nodes
    python -m benchmarks.cluster faults   what becomes of the samples on a Ray of several nodes into S3, by failure

The seconds of ``models`` are of the whole command, Ray's start included; CPU time is that of all its processes. Those
of ``faults`` are of the runs that a failure needs until all is in the store; noticed is when the first one speaks of it
or ends by it, uploads repeated are requests that bring a model's filters once more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cluster_nodes import FAULT_COLUMNS, NODE_COLUMNS, fault_goals, faults, scaling, scaling_goals
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

JOB_COLUMNS = (Column("run", "from"), Column("seconds", "s", number(1)), Column("line", "closing line"))

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


def made_models(source: Path, count: int) -> Path:
    """A folder of small models: two layers, 56 filters."""
    import safetensors.torch
    import torch

    source.mkdir()
    for index in range(count):
        weights = torch.randn(2, 8, 4, 3, 3, generator=torch.Generator().manual_seed(index))
        named = {"conv1.weight": weights[0, :, :3].clone(), "conv2.weight": weights[1].clone()}
        safetensors.torch.save_file(named, source / f"net-{index:05}.safetensors")
    return source


def models(place: Path, count: int, actors: int) -> list[Row]:
    """Rows of the table of small models."""
    source = made_models(place / "models", count)
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


def job(repeats: int = 3) -> list[Row]:
    """Rows of the table of ways to one sample in S3: as a submitted job, and from a shell on the head."""
    from tests.jobs import BIN, running_head, submit
    from tests.s3 import running_s3

    rows: list[Row] = []
    with running_s3() as server, running_head(server) as head:
        for index in range(repeats):
            for way in ("job", "shell"):
                bucket = f"{way}-{index}"
                server.make_bucket(bucket)
                given = ("cluster=ray", "source.models=[maps-espcn]", f"store.uri=s3://{bucket}/filters")
                began = time.monotonic()
                if way == "job":
                    done = submit(head, "python", "launch/extract.py", *given)
                else:
                    command = [str(BIN / "python"), "launch/extract.py", *given]
                    environment = {**head.environment, "RAY_ADDRESS": head.address}
                    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
                seconds = time.monotonic() - began
                if done.returncode:
                    raise RuntimeError(done.stdout + done.stderr)
                line = [each for each in done.stdout.splitlines() if each.startswith("listed ")][-1]
                rows.append({"run": f"{way} {index + 1}", "way": way, "seconds": seconds, "line": line})
                print(f"{way}: {seconds:.1f} s: {line}", flush=True)
    return rows


def job_goals(rows: Sequence[Row]) -> list[Goal]:
    """What the path by a job adds."""
    fastest = {way: min(row["seconds"] for row in rows if row["way"] == way) for way in ("job", "shell")}
    return [
        Goal(f"a submitted job: {fastest['job']:.1f} s, from a shell: {fastest['shell']:.1f} s, the fastest each", None)
    ]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("what", choices=["models", "job", "nodes", "faults"])
    parser.add_argument("--models", type=int, help="how many; default: 2 000, of nodes 60")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--folder", type=made_folder, help="where models are made and deleted; default: temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="c", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        columns: Sequence[Column]
        if given.what == "models":
            rows = models(place, given.models or 2000, given.actors)
            columns, goals, label = MODEL_COLUMNS, model_goals(rows), "run"
        elif given.what == "job":
            rows = job()
            columns, goals, label = JOB_COLUMNS, job_goals(rows), "run"
        elif given.what == "nodes":
            rows = scaling(place, made_models(place / "models", given.models or 60))
            columns, goals, label = NODE_COLUMNS, scaling_goals(rows), "nodes"
        else:
            rows = faults(place)
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
