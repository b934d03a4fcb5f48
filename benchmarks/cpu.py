"""What short commands cost: CPU time of a process, beside a bare interpreter that imports the same libraries.

    python -m benchmarks.cpu --runs 5

``--help`` of every command, ``shift`` without resampling on a store whose sketch is kept, and ``compare`` of an ONNX
file of 7 MB with it. A figure is the least of several runs, user and system time of the process and its children:
other processes only add to it. The bare interpreter says which part is the libraries' own.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.measuring import run_timed
from benchmarks.output import Column, Goal, Row, finish, number
from benchmarks.synthetic import make_store

#: What a command may take, seconds of CPU.
HELP_GOAL, SHIFT_GOAL, COMPARE_GOAL = 1.0, 2.0, 6.0

COMMANDS = (
    "extract",
    "shift",
    "structure",
    "quality",
    "coefficients",
    "compare",
    "pairs",
    "partition",
    "labels",
    "report",
)

#: Libraries of a drift on a kept sketch, and of a comparison with a model that is read and projected.
_SHIFT_LIBRARIES = "hydra, pyarrow.compute, pyarrow.parquet, rich.table, matplotlib.figure"
_COMPARE_LIBRARIES = f"{_SHIFT_LIBRARIES}, numba, onnx"

COLUMNS = (
    Column("what", "what"),
    Column("cpu", "CPU s", number(2)),
    Column("bare", "bare interpreter with its libraries, CPU s", number(2)),
    Column("goal", "goal, s", number(0)),
)


def cpu_seconds(arguments: Sequence[str], runs: int) -> float:
    """Least CPU time of ``python ARGUMENTS`` and its children in several runs."""
    return min(run_timed(arguments)[1] for _ in range(runs))


def write_onnx(path: Path, channels: Sequence[int] = (3, 64, 128, 128, 192, 256, 256, 128)) -> None:
    """A chain of 3x3 convolutions with random weights."""
    random, nodes, weights, value = np.random.default_rng(0), [], [], "image"
    for index, (inner, outer) in enumerate(itertools.pairwise(channels)):
        kernels = random.standard_normal((outer, inner, 3, 3)).astype(np.float32) / np.sqrt(np.float32(9 * inner))
        weights.append(onnx.numpy_helper.from_array(kernels, f"conv{index}.weight"))
        nodes.append(onnx.helper.make_node("Conv", [value, f"conv{index}.weight"], [f"x{index}"], pads=[1, 1, 1, 1]))
        value = f"x{index}"
    image, output = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size, 32, 32])
        for name, size in (("image", channels[0]), (value, channels[-1]))
    )
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "chain", [image], [output], weights)), path)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    rows: list[Row] = []

    def measured(what: str, arguments: Sequence[str], libraries: str, goal: float) -> None:
        bare = cpu_seconds(["-c", f"import {libraries}" if libraries else "pass"], given.runs)
        rows.append({"what": what, "cpu": cpu_seconds(arguments, given.runs), "bare": bare, "goal": goal})
        print(f"{what}: {rows[-1]['cpu']:.2f} s, bare {bare:.2f} s", flush=True)

    for command in COMMANDS:
        arguments = ["launch/extract.py"] if command == "extract" else ["-m", f"analysis.{command}"]
        measured(f"{command} --help", [*arguments, "--help"], "", HELP_GOAL)
    with tempfile.TemporaryDirectory() as place:
        made = make_store(Path(place, "store"), 200_000)
        store, model = f"store.uri={made.uri}", Path(place, "model.onnx")
        write_onnx(model)
        shift = ["-m", "analysis.shift", store, "axes=[task]", "replicates=0", f"out={place}/shift"]
        cpu_seconds(shift, 1)  # leaves the sketch
        measured("shift on a kept sketch, replicates=0", shift, _SHIFT_LIBRARIES, SHIFT_GOAL)
        size = model.stat().st_size / 1e6
        compare = ["-m", "analysis.compare", store, "axes=[task]", f"model={model}", f"out={place}/compare"]
        cpu_seconds(compare, 1)  # compiles what this machine has not compiled yet
        measured(f"compare of an ONNX file of {size:.0f} MB", compare, _COMPARE_LIBRARIES, COMPARE_GOAL)
    goals = [
        Goal(f"{row['what']}: {row['cpu']:.2f} s of CPU (goal {row['goal']:g})", row["cpu"] < row["goal"])
        for row in rows
    ]
    finish("cpu", given.out, rows, COLUMNS, _draw, goals)


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    places = np.arange(len(rows))
    axes.barh(places, [row["cpu"] for row in rows], color="#4c72b0", label="command")
    axes.barh(places, [row["bare"] for row in rows], color="0.7", height=0.4, label="bare interpreter, same libraries")
    axes.plot([row["goal"] for row in rows], places, "|", color="#b3261e", markersize=12, label="goal")
    axes.set_yticks(places, [row["what"] for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="seconds of CPU")
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
