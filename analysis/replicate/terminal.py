"""A replication on a terminal: the table of numbers, then where the page is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.output.terminal import print_closing
from analysis.replicate.measure import ReplicateResult
from analysis.replicate.page import cells_of


def show(result: ReplicateResult, paths: Sequence[Path], console: Console) -> None:
    """The numbers, published and here; the parts; notes; the page."""
    console.print()
    console.print(Text(f"{result.settings.paper}: {result.paper.title}", style="bold"))
    if result.verdicts:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for title in ("", "published", "here", "difference", "verdict"):
            table.add_column(title, justify="left" if title in ("", "verdict") else "right", no_wrap=True)
        for row in result.verdicts:
            table.add_row(*map(Text, cells_of(row)))
        console.print(table)
    for each in result.parts:
        console.print(Text(f"{each.part.name}/: {each.part.shows}"))
    own = [path for path in paths if path.parent == paths[0].parent]
    print_closing(console, result, f"preset={result.paper.preset}", own)
