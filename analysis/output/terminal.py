"""What every command says last on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from analysis.output.names import written_line
from analysis.selection.view import Extent
from analysis.wording import one_line

#: More rows of a table than this no one reads on a terminal; the files have them all.
MOST_ROWS = 20


class Closing(Protocol):
    """What the results of all commands have."""

    @property
    def extent(self) -> Extent:
        """What took part."""

    @property
    def where(self) -> str | None:
        """The condition."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to beware of in all of it."""


def print_closing(console: Console, result: Closing, more: str, paths: Sequence[Path]) -> None:
    """Notes, the condition, how much took part and ``more`` about it, and where the files are."""
    for note in result.notes:
        console.print(Text(one_line(note)))
    if result.where:
        console.print(Text(f"where {one_line(result.where)}"))
    console.print(Text("; ".join(filter(None, (str(result.extent), more)))))
    if paths:
        console.print(Text(written_line(paths)), soft_wrap=True)


def shown_of(shown: int, of: int, what: str) -> str:
    """What a title adds where a table shows the first rows only."""
    return f" (the first {shown} of {of} {what}; the files have them all)" if shown < of else ""
