"""Structure on a terminal: explained variance of the store and of each group, and how well they agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from analysis.measures.eigenfilters import Structure, agreement_between
from analysis.output.tables import Column, narrow_table
from analysis.output.terminal import MOST_ROWS, print_closing, shown_of
from analysis.structure.measure import StructureResult
from analysis.wording import one_line


def show(result: StructureResult, paths: Sequence[Path], console: Console) -> None:
    """Explained variance of the store and of each group, and each group's agreement with the store."""
    for axis in result.axes:
        console.print()
        shown = axis.structures[:MOST_ROWS]
        title = f"Structure by {one_line(axis.grouping.axis)}" + shown_of(len(shown), len(axis.structures), "groups")
        console.print(narrow_table(title, _columns([*result.standing, *shown], result), console.width))
        console.print()
        title = title.replace("Structure", "Symmetry", 1)
        console.print(narrow_table(title, _symmetries([*result.standing, *shown]), console.width))
        for note in axis.notes:
            console.print(Text(note))
    console.print()
    legend = (
        "explained variance in percent; agrees: variance-weighted |cos| of the components with the store's; "
        f"spans: overlap of the {result.subspace} leading components' space with the store's; 1: the same; energy in "
        "percent that is odd under a half turn, a flip across or down, transposition, and by DCT order (0: the mean)"
    )
    console.print(Text(legend))
    print_closing(console, result, "", paths)


def _columns(rows: Sequence[Structure], result: StructureResult) -> list[Column]:
    pairs = agreement_between([result.whole], rows, result.subspace)
    labels = [row.group.label + (" !" if row.few_filters or row.principal is None else "") for row in rows]
    shares = [
        # From the last on, components make way where the terminal is narrow.
        Column(str(i + 1), [_number(100 * row.ratio[i], 1) for row in rows], rank=0 if i < 3 else i)
        for i in range(9)
    ]
    return [
        Column("explained variance", labels, is_name=True),
        Column("filters", [f"{row.moments.count:,}" for row in rows]),
        *shares,
        Column("agrees", [_number(value, 3) for value in pairs.agreement[0]]),
        Column("spans", [_number(value, 3) for value in pairs.similarity[0]], rank=3),
    ]


def _symmetries(rows: Sequence[Structure]) -> list[Column]:
    """Shares of the energy in percent."""
    found = [row.symmetry for row in rows]
    odd = {"odd 180°": "odd_rotation", "odd ↔": "odd_left_right", "odd ↕": "odd_up_down", "anti-T": "antisymmetric"}
    orders = np.array([each.orders for each in found])
    return [
        Column("share of energy", [row.group.label for row in rows], is_name=True),
        *(Column(title, [_number(100 * each.odd[name], 1) for each in found]) for title, name in odd.items()),
        *(Column(f"dct {i}", [_number(100 * share, 1) for share in orders[:, i]], rank=i) for i in range(5)),
    ]


def _number(value: float, decimals: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{decimals}f}"
