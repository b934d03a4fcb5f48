"""The action ``runs``: which runs there were, and how they ended."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from distributed.entry import OK
from distributed.progress import human_bytes
from distributed.store import RunRow, Store
from distributed.upkeep.settings import Look


def show(settings: Look) -> int:
    """Print them, a line each, the latest last; returns the exit code."""
    console, runs = Console(highlight=False, soft_wrap=True), Store.open(settings.store).runs()
    now = datetime.now(UTC)
    for run in runs:
        console.print(_line(run, now), markup=False)
    console.print(f"{len(runs):,} {'run' if len(runs) == 1 else 'runs'} of {settings.uri}", markup=False)
    return OK


def _line(run: RunRow, now: datetime) -> str:
    outcomes = " + ".join(f"{kind} {count}" for kind, count in run.outcomes.items())
    told = [
        f"{run.started_at:%Y-%m-%d %H:%M} UTC",
        f"run {run.run_id} on {run.host}",
        f"{(run.updated_at - run.started_at).total_seconds() / 60:.1f} min",
        run.state(now),
        f"listed {run.listed}" + (f" = {outcomes}" if run.ended_at else f", so far {outcomes or 'no outcome'}"),
        f"{run.filters:,} filters",
        f"{human_bytes(run.bytes_read)} read",
        f"{run.retries} {'retry' if run.retries == 1 else 'retries'}",
    ]
    told += [f"on {', '.join(run.nodes)}"] if run.nodes else []
    told += [f"commit {run.git_commit[:10]}"] if run.git_commit else []
    return " | ".join(told)
