"""Paired models on a terminal: what differs in all layers and by depth, and the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.output.tables import Column, narrow_table
from analysis.output.terminal import MOST_ROWS, print_closing, shown_of
from analysis.pairs.measure import PairsResult
from analysis.pairs.tables import FALSE_DISCOVERIES, bins_table, pairs_table, stands_out
from analysis.wording import count, one_line

#: Metrics that are shown, with their headings and ranks; the files have them all.
_SHOWN = (
    ("sparsity", "Δ sparsity", 0),
    ("variance_entropy_clean", "Δ clean entropy", 0),
    ("orthogonality", "Δ orthogonality", 1),
    ("norm_mean", "Δ norm", 3),
)


def show(result: PairsResult, paths: Sequence[Path], console: Console) -> None:
    """Bins, the first pairs, what stands out, the extent, and where the files are."""
    rows = bins_table(result).to_pylist()
    console.print()
    console.print(_bins(result, rows, console.width))
    tested = [row for row in rows if row["q_value"] is not None]
    if tested:
        found = [row for row in tested if stands_out(row)]
        measures = len(result.bins[0].differences)
        console.print(
            Text(
                f"* {len(found)} of {len(tested)} differences ({measures} measures in {len(result.bins) - 1} bins) are "
                f"more than swapped sides show (q <= {FALSE_DISCOVERIES}, Benjamini–Hochberg over the bins of each)"
            )
        )
    console.print()
    console.print(_pairs(result, console.width))
    print_closing(console, result, result.provenance, paths)


def _bins(result: PairsResult, rows: Sequence[dict[str, Any]], width: int) -> Table:
    a, b = map(one_line, result.listing.sides)
    by_bin = {(row["bin"], row["measure"]): row for row in rows}
    names = [each.name for each in result.bins][: MOST_ROWS + 1]
    pairs, clusters = count(len(result.listing.pairs), "pair"), count(result.bins[0].drift.clusters, "cluster")
    title = f"{b} minus {a}: {pairs} in {clusters}" + shown_of(len(names), len(result.bins), "bins")

    def mark(row: dict[str, Any]) -> str:
        return "*" if stands_out(row) else " "

    def cells(measure: str, key: str, form: str) -> list[str]:
        found = [by_bin[name, measure] for name in names]
        return [
            "–" if row[key] is None else f"{row[key]:{form}}{mark(row) if key != 'p_value' else ''}" for row in found
        ]

    columns = [
        Column("", names, is_name=True),
        Column("pairs", [str(by_bin[name, "drift"]["pairs"]) for name in names], 2),
        Column("D", cells("drift", "pooled", ".4f")),
        Column("p", cells("drift", "p_value", ".2g"), 0),
        *(Column(heading, cells(metric, "mean_of_pairs", "+.4f"), rank) for metric, heading, rank in _SHOWN),
    ]
    return narrow_table(title, columns, width)


def _pairs(result: PairsResult, width: int) -> Table:
    table = pairs_table(result)
    rows = table.take(list(range(0, table.num_rows, len(result.bins)))[:MOST_ROWS]).to_pylist()
    labels = [row["label"] for row in rows]
    title = "Pairs, all layers" + shown_of(len(rows), len(result.listing.pairs), "pairs")
    columns = [
        Column(one_line(result.listing.sides[0]), [row["a"] for row in rows], is_name=True),
        Column(one_line(result.listing.sides[1]), [row["b"] for row in rows], is_name=True),
        *([Column("agree in", labels, 1, is_name=True)] if any(labels) else []),
        Column("D", ["–" if row["drift"] is None else f"{row['drift']:.4f}" for row in rows]),
        Column("cluster", [str(row["cluster"]) for row in rows], 2),
    ]
    return narrow_table(title, columns, width)
