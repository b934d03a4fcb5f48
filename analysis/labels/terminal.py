"""Labels on a terminal: what is known by field, and where it was read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from analysis.labels.measure import LabelsResult
from analysis.output.tables import Column, narrow_table
from analysis.output.terminal import print_closing
from analysis.wording import count


def show(result: LabelsResult, paths: Sequence[Path], console: Console) -> None:
    """A row per field, what the labels change, the extent."""
    rows = result.fields.to_pylist()
    columns = [
        Column("", [row["field"] for row in rows], is_name=True),
        Column("known", [f"{row['known']:,}" for row in rows]),
        Column("unknown", [f"{row['unknown']:,}" for row in rows]),
        Column("values", [f"{row['values']:,}" for row in rows]),
        Column("read in (models)", [row["origins"] or "–" for row in rows], 0, is_name=True),
    ]
    console.print()
    console.print(narrow_table("What is known about the models", columns, console.width))
    if result.settings.labels is not None:
        models = count(len(result.changed), "model")
        if not result.changed:
            said = "the store has all these labels"
        elif result.settings.save:
            said = f"labels of {models} were written into the store"
        else:
            said = f"labels of {models} differ from the store's; save=true writes them into it"
        console.print(Text(said))
    print_closing(console, result, "", paths)
