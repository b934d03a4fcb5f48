"""Tables that fit a terminal: names lose their middle, columns of least interest make way, and the title says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from analysis.wording import elide, one_line

#: A name is shortened down to this many characters before a column makes way.
_SHORTEST_NAME = 16

_PADDING = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ready texts; ``rank`` 0 stays always, the highest rank makes way first. Names are left-aligned."""

    heading: str
    cells: Sequence[str]
    rank: int = 0
    is_name: bool = False


def narrow_table(title: str, columns: Sequence[Column], width: int) -> Table:
    """``columns`` in at most ``width`` characters, as far as those of rank 0 allow."""
    columns = list(columns)
    left_out: list[str] = []
    while _room(columns, width) < _needed(columns) and any(column.rank for column in columns):
        last = max(range(len(columns)), key=lambda index: (columns[index].rank, index))
        left_out.insert(0, columns.pop(last).heading)
    names = [column for column in columns if column.is_name]
    room = max(_SHORTEST_NAME, _room(columns, width) // max(1, len(names)))
    heading = Text(title, style="bold")
    if left_out:
        heading.append(f" (too narrow here for: {', '.join(left_out)})", style="dim")
    table = Table(title=heading, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    for column in columns:
        table.add_column(Text(column.heading), justify="left" if column.is_name else "right", no_wrap=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        texts = (
            elide(one_line(cell), room) if column.is_name else cell for column, cell in zip(columns, row, strict=True)
        )
        table.add_row(*map(Text, texts))
    return table


def _room(columns: Sequence[Column], width: int) -> int:
    """Characters left for the names."""
    taken = sum(_widest(column) for column in columns if not column.is_name)
    return width - taken - _PADDING * (len(columns) - 1)


def _needed(columns: Sequence[Column]) -> int:
    return sum(max(len(c.heading), min(_SHORTEST_NAME, _widest(c))) for c in columns if c.is_name)


def _widest(column: Column) -> int:
    return max(len(text) for text in (column.heading, *column.cells))
