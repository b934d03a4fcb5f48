"""Benchmark 8: many small models through Ray, and what failures on a cluster cost.

    python -m benchmarks.cluster models   2 000 small local models through 2 actors: first run, second run, dry run

The seconds are of the whole command, Ray's start included; CPU time is that of all its processes.
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("what", choices=["models"])
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--folder", type=made_folder, help="where models are made and deleted; default: temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="cluster-") as folder:
        rows = models(Path(folder), given.models, given.actors)
        finish(
            "cluster_models",
            given.out,
            rows,
            MODEL_COLUMNS,
            lambda figure, found: bars(figure, found, lambda row: str(row["run"]), "seconds", "s of the command"),
            model_goals(rows),
        )


if __name__ == "__main__":
    main()
