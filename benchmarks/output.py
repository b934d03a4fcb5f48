"""What a benchmark leaves: JSON, a table in the terminal, and a picture."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: ``key`` of the row, ``title``, and how a value is written."""

    key: str
    title: str
    form: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise and what was found: ``text`` says both in words. ``met`` is None where nothing is promised."""

    text: str
    met: bool | None


_VERDICTS = {True: "met", False: "MISSED", None: "found"}


def machine() -> dict[str, Any]:
    """Where the numbers come from."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model na")]
        cpu = names[0] if names else cpu
    packages = ("numpy", "numba", "pyarrow", "ray", "torch")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_at_end": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def finish(
    name: str,
    out: Path,
    rows: Sequence[Row],
    columns: Sequence[Column],
    draw: Callable[[Any, Sequence[Row]], None],
    goals: Sequence[Goal] = (),
) -> None:
    """Print the table and the goals; write ``name.json`` and ``name.png`` into ``out``; ``draw(figure, rows)``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out.mkdir(parents=True, exist_ok=True)
    found = {"benchmark": name, "machine": machine(), "rows": list(rows), "goals": [_plain(goal) for goal in goals]}
    (out / f"{name}.json").write_text(json.dumps(found, indent=2, default=str) + "\n")
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, rows)
    figure.savefig(out / f"{name}.png")
    console = Console(width=160, highlight=False)
    table = Table(title=name, box=None, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column.title, justify="right")
    for row in rows:
        table.add_row(*(column.form(row[column.key]) if row.get(column.key) is not None else "" for column in columns))
    console.print(table)
    for goal in goals:
        console.print(f"{_VERDICTS[goal.met]:6}  {goal.text}")
    console.print(f"{out / name}.json, .png")


def _plain(goal: Goal) -> dict[str, Any]:
    return {"text": goal.text, "met": None if goal.met is None else bool(goal.met)}


def bars(figure: Any, rows: Sequence[Row], label: Callable[[Row], str], value: str, title: str) -> None:
    """One bar a row, logarithmic where the values span more than a factor of 20."""
    axes = figure.subplots()
    kept = [row for row in rows if row.get(value)]
    values = [row[value] for row in kept]
    axes.barh([label(row) for row in kept], values, color="#4477aa")
    axes.invert_yaxis()
    if values and max(values) > 20 * min(values):
        axes.set_xscale("log")
    for index, each in enumerate(values):
        axes.text(each, index, f" {each:.3g}", va="center", fontsize=8)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def number(digits: int = 1) -> Callable[[Any], str]:
    """Thousands separated, ``digits`` after the point."""
    return lambda value: f"{value:,.{digits}f}"


def gigabytes(value: float) -> str:
    """Of bytes."""
    return f"{value / 1e9:.2f} GB"
