"""The action ``gc``: what dead runs left, removed once it is old enough to be nobody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console

from distributed.entry import OK
from distributed.errors import UserError
from distributed.progress import human_bytes
from distributed.store import Store
from distributed.upkeep.settings import CollectGarbage

#: Paths that are named; the rest is counted.
_NAMED = 20


def collect(settings: CollectGarbage) -> int:
    """Remove it and say so; returns the exit code.

    Raises:
        UserError: a run goes on: it may be about to complete what looks left.
    """
    console, store, now = Console(highlight=False, soft_wrap=True), Store.open(settings.store), datetime.now(UTC)
    living = [run.run_id for run in store.runs() if run.state(now) == "goes on"]
    if living and not settings.dry_run:
        raise UserError(f"run {living[0]} goes on in {store.uri}: collect when it has ended (see the action runs)")
    orphans = store.orphans(now - timedelta(hours=settings.older_than))
    for file in orphans[:_NAMED]:
        console.print(f"  {file.path} ({human_bytes(file.size)})", markup=False)
    if len(orphans) > _NAMED:
        console.print(f"  … and {len(orphans) - _NAMED:,} more")
    if not settings.dry_run:
        store.remove_orphans(orphans)
    done = "would remove" if settings.dry_run else "removed"
    console.print(
        f"{done} {len(orphans):,} files of {human_bytes(sum(file.size for file in orphans))} that no model needs and "
        f"nobody has written to for {settings.older_than:g} hours"
    )
    return OK
