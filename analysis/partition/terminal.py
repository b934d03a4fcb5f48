"""A partition on a terminal: what is confounded, before what explains what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.arrays.types import Float64
from analysis.output.tables import Column, narrow_table
from analysis.output.terminal import MOST_ROWS, print_closing
from analysis.partition.measure import PartitionResult
from analysis.partition.parts import Part
from analysis.wording import one_line


def show(result: PartitionResult, paths: Sequence[Path], console: Console) -> None:
    """Confounding, what each factor explains of all, the spread, and the shares by part."""
    console.print()
    if result.confounding.num_rows:
        console.print(_confounding(result, console.width))
        console.print()
    console.print(_explained(result, console.width))
    settings = result.settings
    dealt = f"labels dealt out within {one_line(settings.strata)}" if settings.strata else "labels dealt out anew"
    legend = f"first: after those above it; adds: after all others; chance: what as many random groups add; p: {dealt}"
    console.print(Text(legend))
    console.print()
    if result.dispersions:
        console.print(_spread(result, console.width))
        console.print()
    if len(result.parts) > 1:
        console.print(_by_part(result, console.width))
        console.print()
    print_closing(console, result, result.sketch.provenance, paths)


def _confounding(result: PartitionResult, width: int) -> Table:
    rows = result.confounding.to_pylist()[:MOST_ROWS]
    columns = [
        Column("", [f"{row['a']} × {row['b']}" for row in rows], is_name=True),
        Column("V", [_number(row["cramers_v"]) for row in rows]),
        Column("corrected", [_number(row["cramers_v_corrected"]) for row in rows]),
        Column("levels", [f"{row['levels_a']} × {row['levels_b']}" for row in rows]),
        Column("cells", [str(row["cells"]) for row in rows]),
        Column("relation", [row["relation"] for row in rows]),
    ]
    return narrow_table("Confounding (Cramér's V; 1: one follows from the other)", columns, width)


def _explained(result: PartitionResult, width: int) -> Table:
    found = result.whole
    names = [*result.settings.factors, "shared", "residual"]
    blank = ["", ""]

    def of_factors(heading: str, values: Float64, rest: Sequence[str], digits: int, rank: int = 0) -> Column:
        return Column(heading, [*(_number(value, digits) for value in values.tolist()), *rest], rank)

    residual = _number(100 * found.residual_ss / found.total_ss, 1)
    columns = [
        Column("", names, is_name=True),
        Column("df", [*map(str, found.terms.df.tolist()), "", str(found.residual_df)]),
        of_factors("first R² %", 100 * found.terms.r2, ["", residual], 1),
        of_factors("F", found.terms.f, blank, 2, 2),
        of_factors("p", found.terms.p, blank, 4),
        of_factors("adds R² %", 100 * found.margin.r2, [_number(100 * found.shared, 1), residual], 1),
        of_factors("chance %", 100 * found.margin.r2_chance, blank, 1, 1),
        of_factors("F", found.margin.f, blank, 2, 2),
        of_factors("p", found.margin.p, blank, 4),
    ]
    title = f"What explains the distances between {result.parts[0].observations} models"
    return narrow_table(title, columns, width)


def _spread(result: PartitionResult, width: int) -> Table:
    rows = result.dispersions
    columns = [
        Column("", [found.factor.name for found in rows], is_name=True),
        Column("groups", [str(len(found.factor.levels)) for found in rows]),
        Column("F", [_number(found.f, 2) for found in rows]),
        Column("p", [_number(found.p, 4) for found in rows]),
    ]
    return narrow_table("Do groups differ in spread, too?", columns, width)


def _by_part(result: PartitionResult, width: int) -> Table:
    parts = [part for part in result.parts if part.permanova is not None]
    columns = [Column("adds R² %", [part.title for part in parts], is_name=True)]
    columns.append(Column("models", [str(part.observations) for part in parts], 1))
    for k, factor in enumerate(result.settings.factors):
        columns.append(Column(one_line(factor), [_share(part, k) for part in parts]))
    shared = [_number(100 * part.permanova.shared, 1) for part in parts if part.permanova is not None]
    return narrow_table("By component and group of layers", [*columns, Column("shared", shared)], width)


def _share(part: Part, factor: int) -> str:
    """``12.3 *``: the star where p ≤ .05."""
    if part.permanova is None:
        return "–"
    margin = part.permanova.margin
    return _number(100 * float(margin.r2[factor]), 1) + (" *" if margin.p[factor] <= 0.05 else "  ")


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
