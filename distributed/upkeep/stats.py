"""The action ``stats``: what a store holds, in numbers."""

from __future__ import annotations

from collections import Counter

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from distributed.entry import OK
from distributed.progress import human_bytes
from distributed.store import Store
from distributed.upkeep.settings import Look

_TABLES = ("models", "layers", "filters", "packs", "skips", "failures", "runs")


def show(settings: Look) -> int:
    """Print files and bytes of each table, the rows of the three of models, and why models are missing."""
    console, store = Console(highlight=False), Store.open(settings.store)
    rows = dict.fromkeys(_TABLES, "")
    if ids := store.model_ids():
        found = store.model_rows(ids, ("num_filters", "num_layers_3x3"))
        rows["models"] = f"{len(found):,}"
        rows["layers"] = f"{sum(row['num_layers_3x3'] for row in found):,}"
        rows["filters"] = f"{sum(row['num_filters'] for row in found):,}"
    rows["packs"] = f"{sum(pack.rows for pack in store.packs()):,}"
    table = Table()
    for heading in ("table", "rows", "files", "bytes", "median file"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for name in _TABLES:
        sizes = [file.size for file in store.files(name)]
        middle = human_bytes(pc.quantile(sizes)[0].as_py()) if sizes else ""
        table.add_row(name, rows[name] or f"{len(sizes):,}", f"{len(sizes):,}", human_bytes(sum(sizes)), middle)
    console.print(table)
    for what, rejects in (("skipped", store.skips()), ("failed", store.failures())):
        for reason, count in Counter(reject.reason for reject in rejects.values()).most_common():
            console.print(f"{what}: {reason} {count:,}", markup=False)
    return OK
