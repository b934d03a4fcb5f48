"""Lineages on a terminal: what ties which models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from analysis.lineage.measure import LineageResult
from analysis.output.tables import Column, narrow_table
from analysis.output.terminal import MOST_ROWS, print_closing, shown_of
from analysis.wording import count


def show(result: LineageResult, paths: Sequence[Path], console: Console) -> None:
    """A row per tie, what they come to, the extent."""
    rows = result.ties.slice(0, MOST_ROWS).to_pylist()
    if rows:
        title = f"What ties models{shown_of(len(rows), result.ties.num_rows, 'ties')}"
        columns = [
            Column("", [row["model_a"] for row in rows], is_name=True),
            Column("", [row["model_b"] for row in rows], is_name=True),
            Column("tie", [row["tie"] for row in rows]),
            Column(
                "equal layers", [f"{row['equal_layers']} of {min(row['layers_a'], row['layers_b'])}" for row in rows]
            ),
            Column("cosine", [_cosine(row["cosine"], is_exact=row["confirmed"]) for row in rows]),
            Column("compared", [str(row["compared_layers"]) for row in rows], 1),
        ]
        console.print()
        console.print(narrow_table(title, columns, console.width))
    said = f"{count(result.lineages, 'lineage')}, {count(result.ties.num_rows, 'tie')}"
    said += "; ≈: of the sketches, not of the weights" * any(not row["confirmed"] for row in rows)
    print_closing(console, result, said, paths)


def _cosine(value: float | None, *, is_exact: bool) -> str:
    return "–" if value is None else f"{'' if is_exact else '≈'}{value:.3f}"
