"""Eigenfilters, symmetry and cumulative variance of the store and of each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float64
from analysis.measures.eigenfilters import Structure, agreement_between
from analysis.measures.symmetry import SYMMETRIES
from analysis.output.markup import Markup
from analysis.output.names import file_stem
from analysis.report.cards import Cards, spaced, tabs
from analysis.report.measure import ReportResult
from analysis.report.tables import table_data


def structure_section(report: ReportResult, cards: Cards) -> Markup:
    """By axis; of the store alone, if no axis could be drawn."""
    standing = report.structure.standing
    panels = [
        (axis.grouping.axis, _panel(axis.grouping.axis, [*standing, *axis.structures], cards))
        for axis in report.structure.axes
    ]
    alone = [_tiles("Eigenfilters", "eigenfilters", standing, cards), _symmetry("", standing, cards)]
    return tabs("Axis of the structure", panels or [("store", alone)])


def _panel(axis: str, rows: Sequence[Structure], cards: Cards) -> list[Markup]:
    title, about = f"Cumulative variance by {spaced(axis)}", "How much of the variance the first components hold."
    table = cards.table(_table(title, rows, np.array([row.cumulative for row in rows])))
    curves = cards.card(title, about, table, stem=f"cumulative_{file_stem(axis)}", command="structure")
    tiles = _tiles(f"Eigenfilters by {spaced(axis)}", f"eigenfilters_{file_stem(axis)}", rows, cards)
    return [tiles, _symmetry(axis, rows, cards), curves]


def _tiles(title: str, stem: str, rows: Sequence[Structure], cards: Cards) -> Markup:
    about = "Nine components by falling variance, red positive, blue negative."
    table = cards.table(_table("Shares of the variance", rows, np.array([row.ratio for row in rows])))
    return cards.card(title, about, table, stem=stem, command="structure")


def _symmetry(axis: str, rows: Sequence[Structure], cards: Cards) -> Markup:
    """Of the groups of an axis, or of the store alone."""
    about = (
        "Which share of the filters’ energy is odd under a half turn, under a flip and under transposition, and how "
        "smooth they are: gradients are odd, blobs and centre-surround kernels even."
    )
    found = [row.symmetry for row in rows]
    content = {
        "group": [row.group.name for row in rows],
        **{title: [each.odd[name] for each in found] for name, (title, _) in SYMMETRIES.items()},
        **{f"frequency {u},{v}": [float(each.dct[u, v]) for each in found] for u in range(3) for v in range(3)},
    }
    table = cards.table(table_data("Shares of the energy", pa.table(content)))
    by, stem = (f" by {spaced(axis)}", f"symmetry_{file_stem(axis)}") if axis else ("", "symmetry")
    return cards.card(f"Symmetry{by}", about, table, stem=stem, command="structure")


def _table(caption: str, rows: Sequence[Structure], values: Float64) -> dict[str, Any]:
    """Of each of R structures its sizes, a number of (R, 9) for each component, and how it agrees with the first."""
    mixed = [", ".join(str(i + 1) for i in np.flatnonzero(row.directed & ~row.separated)) or None for row in rows]
    content = {
        "group": [row.group.name for row in rows],
        "models": [row.group.models for row in rows],
        "filters": [row.moments.count for row in rows],
        **{str(index + 1): values[:, index] for index in range(9)},
        "not apart": pa.array(mixed, pa.string()),
        "agrees with store": agreement_between(rows[:1], rows, 1).agreement[0],
    }
    return table_data(caption, pa.table(content))
