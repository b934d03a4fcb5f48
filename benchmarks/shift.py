"""Benchmark 1: the whole shift, the published procedure against ours, and the histograms alone against SQL engines.

    python -m benchmarks.shift --rows 2e6 20e6 100e6 500e6 --folder /big/disk

Every contestant runs in a process of its own, on files that were just read once. Ours runs twice in its process, once
through Ray and once by threads, as the command does up to ``cluster.local_ray_from`` filters. ``seconds`` is the
procedure itself, for ours the second time: Ray is up and has run a scan. ``cold`` is the first time with the start of
Ray before it. The published procedure holds everything in memory (9 x 4 bytes a filter, twice): ``--published-up-to``
keeps it within the machine.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Usage, made_folder, read_through, run_measured
from benchmarks.output import Column, Goal, Row, finish, gigabytes, number
from benchmarks.synthetic import make_store

#: As they are called in the tables.
OURS, OURS_HERE = "ours, Ray", "ours, threads"

AXES = ["task", "visual_category", "depth"]

COLUMNS = (
    Column("rows", "filters", number(0)),
    Column("what", "what"),
    Column("who", "who"),
    Column("seconds", "seconds", number(2)),
    Column("ray", "Ray's start", number(2)),
    Column("cold", "cold", number(2)),
    Column("cpu", "CPU s", number(1)),
    Column("peak", "peak memory", gigabytes),
    Column("largest", "largest process", gigabytes),
    Column("ns_per_row", "ns/row", number(1)),
    Column("agreement", "agreement"),
)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shift", description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[2e6])
    parser.add_argument(
        "--folder", type=made_folder, help="where stores are made and deleted; default: a temporary folder"
    )
    parser.add_argument("--published-up-to", type=float, default=100e6)
    parser.add_argument("--engines-up-to", type=float, default=100e6)
    parser.add_argument("--engines", nargs="*", default=["duckdb", "polars"])
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="shift-") as place:
        for size in map(int, given.rows):
            rows += _compare(Path(place), size, given)
    finish("shift", given.out, rows, COLUMNS, _draw, goals(rows))


def _compare(place: Path, size: int, given: argparse.Namespace) -> list[Row]:
    folder, scratch = place / "store", place / "scratch"
    scratch.mkdir(exist_ok=True)
    made = make_store(folder, size)
    print(f"made {size:,} filters in {made.seconds:.1f} s ({size / made.seconds:,.0f}/s)", flush=True)
    common = {"folder": str(folder), "scratch": str(scratch), "axes": AXES}
    rows: list[Row] = []

    def run(what: str, who: str, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        read_through(folder)
        try:
            answer, usage = run_measured(module, common | arguments)
        except RuntimeError as error:  # a rival that runs out of memory is a result
            if who.startswith("ours"):
                raise
            rows.append({"rows": size, "what": what, "who": who, "agreement": "failed", "error": str(error)})
            print(f"  {what}: {who} failed: {str(error).strip().splitlines()[-1]}", flush=True)
            return {}
        rows.append(_row(size, what, who, answer, usage))
        print(f"  {what}: {who} {answer['seconds']:.2f} s", flush=True)
        return answer

    ours = run("shift", OURS, "benchmarks.ours", {"what": "shift", "by": "ray"})
    run("shift", OURS_HERE, "benchmarks.ours", {"what": "shift", "by": "threads"})
    if size <= given.published_up_to:
        theirs = run("shift", "published", "benchmarks.published", {})
        if theirs:
            rows[-1]["agreement"] = _agreement(ours["matrices"], theirs["matrices"])
    if size <= given.engines_up_to and given.engines:
        basis = str(scratch / "basis.json")
        for who, by in ((OURS, "ray"), (OURS_HERE, "threads")):
            run("histograms", who, "benchmarks.ours", {"what": "histograms", "by": by, "basis": basis})
        for engine in given.engines:
            found = run("histograms", engine, "benchmarks.tables", {"engine": engine})
            if found:
                rows[-1]["agreement"] = f"{found['coefficients_elsewhere']} of {9 * size:.2g} in another bin"
    shutil.rmtree(folder)
    return rows


def _row(size: int, what: str, who: str, answer: dict[str, Any], usage: Usage) -> Row:
    return {
        "rows": size,
        "what": what,
        "who": who,
        "seconds": answer["seconds"],
        "ray": answer.get("ray_seconds"),
        "cold": answer["first"] + answer["ray_seconds"] if "first" in answer else answer["seconds"],
        "process": usage.seconds,
        "cpu": usage.cpu_seconds,
        "peak": usage.peak_bytes,
        "largest": usage.peak_process_bytes,
        "largest_process": usage.peak_process,
        "processes": usage.processes,
        "ns_per_row": answer["seconds"] / size * 1e9,
        "steps": answer.get("steps"),
        "scan_seconds": answer.get("scan_seconds"),
    }


def _agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Largest difference between the sorted entries: the groups may be in another order."""
    apart = max(np.abs(np.sort(np.ravel(ours[a])) - np.sort(np.ravel(theirs[a]))).max() for a in ours)
    return f"D within {apart:.1g}"


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What docs/benchmarks.md promises, where the sizes were run."""
    at = {(row["rows"], row["what"], row["who"]): row for row in rows if "seconds" in row}
    found = []
    for size in sorted({row["rows"] for row in rows}):
        published = at.get((size, "shift", "published"))
        for who in (OURS, OURS_HERE):
            ours = at.get((size, "shift", who))
            if ours and published:
                warm, cold = published["seconds"] / ours["seconds"], published["seconds"] / ours["cold"]
                text = f"{size:,} filters, {who}: {warm:.1f}x the published procedure, {cold:.1f}x cold"
                wanted = size == 20_000_000
                goal = " (goal at 20 million: 8x and 4x)" if wanted else ""
                found.append(Goal(text + goal, (warm >= 8 and cold >= 4) if wanted else None))
    if largest := at.get((500_000_000, "shift", OURS)):
        text = f"500 million filters in {largest['seconds']:.0f} s (goal 120) and {gigabytes(largest['peak'])} (goal 6)"
        found.append(Goal(text, largest["seconds"] <= 120 and largest["peak"] < 6e9))
        if smaller := at.get((50_000_000, "shift", OURS)):
            ratio = largest["seconds"] / smaller["seconds"]
            found.append(Goal(f"time(500 million) / time(50 million) = {ratio:.2f} (goal 10.5)", ratio <= 10.5))
    most = max(row["largest"] for row in rows if row["who"].startswith("ours"))
    found.append(Goal(f"largest process of ours: {gigabytes(most)} (goal 1.5 GB)", most < 1.5e9))
    return found


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots(1, 2)
    for panel, what in zip(axes, ("shift", "histograms"), strict=True):
        for who in dict.fromkeys(row["who"] for row in rows):
            mine = [row for row in rows if (row["who"], row["what"]) == (who, what) and "seconds" in row]
            points = [(row["rows"], row["seconds"]) for row in mine]
            if points:
                panel.plot(*zip(*sorted(points), strict=True), "o-", label=who)
        panel.set(xscale="log", yscale="log", xlabel="filters", ylabel="seconds, warm", title=what)
        panel.legend(frameon=False)


if __name__ == "__main__":
    main()
