"""The action ``compact``: the filters of many small models into few files of large row groups, row for row.

Nothing is moved: packs are written beside the models' own files (``distributed.store.packs``), which go once the packs
are older than ``grace``: a later call removes them. Interrupted anywhere, the next call goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console

from distributed.entry import OK
from distributed.progress import human_bytes
from distributed.store import Store
from distributed.store.reading import StoredFile
from distributed.upkeep.settings import Compact

#: A file below is merged: opening it costs more than reading it.
SMALL_BYTES = 4 * 1024**2
#: Of a pack, which is made in memory.
PACK_BYTES = 128 * 1024**2
#: A pack of fewer models is not worth a file.
FEWEST = 2


def compact(settings: Compact) -> int:
    """Merge and remove, and say so; returns the exit code."""
    console, store = Console(highlight=False, soft_wrap=True), Store.open(settings.store)
    models = store.model_ids()
    done = {member.model_id for pack in store.packs() for member in pack.members}
    small = [f for f in store.files("filters") if f.key in models and f.key not in done and f.size < SMALL_BYTES]
    groups = [group for group in _groups(small) if len(group) >= FEWEST]
    if not settings.dry_run:
        for group in groups:
            store.write_pack([file.key for file in group])
    before = datetime.now(UTC) - timedelta(hours=settings.grace)
    gone = store.packed_files(before) if settings.dry_run else store.remove_packed(before)
    merged, size = sum(map(len, groups)), sum(file.size for group in groups for file in group)
    would = "would be " if settings.dry_run else ""
    console.print(f"{merged:,} files of {human_bytes(size)} {would}merged into {len(groups):,}")
    console.print(f"{len(gone):,} files that were merged more than {settings.grace:g} hours ago {would}removed")
    if waiting := len(store.packed_files(datetime.now(UTC))) - len(gone) * settings.dry_run:
        console.print(f"{waiting:,} merged files wait for their readers: run this again in {settings.grace:g} hours")
    return OK


def _groups(files: Sequence[StoredFile]) -> Iterator[list[StoredFile]]:
    """Of about ``PACK_BYTES`` each, in the order of the models."""
    group, size = list[StoredFile](), 0
    for file in files:
        if group and size + file.size > PACK_BYTES:
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group
