"""The whole command, from the shell's start of it to its end, against the published procedure on the same filters.

    python -m benchmarks.whole --rows 20e6 --folder /big/disk

``shift`` with ``axes=[task]`` on a store that nobody has scanned, as it is typed and without resampling. Its start,
imports and pictures are in its time; of the published procedure only what it computes is. A figure is the least of
several runs, which take turns.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import made_folder, read_through, run_measured, run_timed
from benchmarks.output import Column, Goal, Row, finish, number
from benchmarks.synthetic import make_store

#: As they are called in the table.
PUBLISHED, PLAIN, TYPED = "published", "ours, replicates=0", "ours, as typed"

#: Times the published procedure, at this many filters.
GOALS, GOALS_AT = {PLAIN: 6.0, TYPED: 4.0}, 20_000_000

COLUMNS = (
    Column("rows", "filters", number(0)),
    Column("who", "who"),
    Column("seconds", "seconds", number(2)),
    Column("times", "times as fast", number(1)),
    Column("cpu", "CPU s", number(2)),
    Column("cpu_times", "by CPU time", number(1)),
)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole", description=__doc__)
    parser.add_argument("--rows", type=float, default=GOALS_AT)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--folder", type=made_folder, help="where the store is made and deleted; default: a temporary folder"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    size = int(given.rows)
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="whole-") as place:
        store = Path(place, "store")
        make_store(store, size)
        typed = ["-m", "analysis.shift", f"store.uri={store}", "axes=[task]", f"out={place}/out"]
        contestants: dict[str, Callable[[], tuple[float, float]]] = {
            PUBLISHED: lambda: _published(store),
            PLAIN: lambda: run_timed([*typed, "replicates=0"]),
            TYPED: lambda: run_timed(typed),
        }
        taken: dict[str, list[tuple[float, float]]] = {who: [] for who in contestants}
        for _ in range(given.runs):
            for who, run in contestants.items():
                shutil.rmtree(store / "sketches", ignore_errors=True)
                read_through(store)
                taken[who].append(run())
                print(f"{who}: {taken[who][-1][0]:.2f} s, {taken[who][-1][1]:.2f} s of CPU", flush=True)
    least = {who: tuple(map(min, zip(*each, strict=True))) for who, each in taken.items()}
    rows = [
        {
            "rows": size,
            "who": who,
            "seconds": seconds,
            "times": least[PUBLISHED][0] / seconds,
            "cpu": cpu,
            "cpu_times": least[PUBLISHED][1] / cpu,
        }
        for who, (seconds, cpu) in least.items()
    ]
    finish("whole", given.out, rows, COLUMNS, _draw, goals(rows))


def _published(store: Path) -> tuple[float, float]:
    answer, _ = run_measured("benchmarks.published", {"folder": str(store), "axes": ["task"]})
    return answer["seconds"], answer["cpu_seconds"]


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What docs/benchmarks.md promises, where the size was run."""
    return [
        Goal(
            f"{row['rows']:,} filters, {row['who']}: {row['times']:.1f}x the published procedure "
            f"(goal at 20 million: {GOALS[row['who']]:g}x)",
            row["times"] >= GOALS[row["who"]] if row["rows"] == GOALS_AT else None,
        )
        for row in rows
        if row["who"] in GOALS
    ]


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    axes.barh([row["who"] for row in rows], [row["seconds"] for row in rows], color="#4c72b0")
    axes.invert_yaxis()
    axes.set(xlabel="seconds")


if __name__ == "__main__":
    main()
