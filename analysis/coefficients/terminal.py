"""Distributions of coefficients on a terminal: what was measured, and the looks of densities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from analysis.coefficients.measure import CoefficientsResult
from analysis.measures.phenotypes import Phenotype
from analysis.output.terminal import print_closing
from analysis.wording import count, one_line


def show(result: CoefficientsResult, paths: Sequence[Path], console: Console) -> None:
    """Groups of each axis, the looks of densities, extent, and where the files are."""
    for axis in result.ridges:
        console.print(Text(f"{axis.grouping.axis}: {count(len(axis.grouping.groups), 'group')}"))
        for note in axis.notes:
            console.print(Text(one_line(note)))
    for part in result.densities:
        rows = part.phenotypes().to_pylist()
        for pair in part.densities.pairs:
            mine = [row["phenotype"] for row in rows if (row["first"], row["second"]) == pair]
            looks = ", ".join(f"{mine.count(str(look))} {look}" for look in Phenotype if str(look) in mine)
            console.print(Text(f"densities by {part.grouping.axis}, components {pair[0]} and {pair[1]}: {looks}"))
    if result.densities:
        console.print(Text(str(result.densities[0].densities.time)))
    print_closing(console, result, result.provenance, paths)
