"""Eigenfilters and cumulative variance of the store and of each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float64
from analysis.measures.eigenfilters import Structure, agreement_between
from analysis.output.names import file_stem
from analysis.report.cards import Cards, section, spaced, tabs
from analysis.report.markup import Markup
from analysis.report.measure import ReportResult
from analysis.report.tables import Shown, table_data

_LEAD = (
    "Principal components of the scaled filters: the patterns most filters are mixtures of. A steep curve means few "
    "patterns suffice. A group of few models shows those models’ habits, not its kind’s."
)


def structure_section(report: ReportResult, cards: Cards) -> Markup:
    """By axis; of the store alone, if no axis could be drawn."""
    standing = report.structure.standing
    panels = [
        _panel(axis.grouping.axis, [*standing, *axis.structures], cards) for axis in report.structure.axes
    ] or [("store", [_eigenfilters("", "eigenfilters", standing, cards)])]
    return section("structure", "Structure", _LEAD, tabs("Axis of the structure", panels))


def _panel(axis: str, rows: Sequence[Structure], cards: Cards) -> tuple[str, list[Markup]]:
    stem, by = file_stem(axis), spaced(axis)
    title, about = f"Cumulative variance by {by}", "How much of the variance the first components hold."
    table = _table(title, rows, np.array([row.cumulative for row in rows]))
    curves = cards.card(title, about, cards.table(table), stem=f"cumulative_{stem}", command="structure")
    return axis, [_eigenfilters(by, f"eigenfilters_{stem}", rows, cards), curves]


def _eigenfilters(by: str, stem: str, rows: Sequence[Structure], cards: Cards) -> Markup:
    title, about = f"Eigenfilters by {by}" if by else "Eigenfilters", "Nine components by falling variance, red positive, blue negative."
    table = _table("Shares of variance", rows, np.array([row.ratio for row in rows]))
    return cards.card(title, about, cards.table(table), stem=stem, command="structure")


def _table(caption: str, rows: Sequence[Structure], values: Float64) -> dict[str, Any]:
    """Of each of R structures its sizes, a number of (R, 9) for each component, and how it agrees with the first."""
    mixed = [", ".join(str(i + 1) for i in np.flatnonzero(row.directed & ~row.separated)) or None for row in rows]
    content = {
        "group": [row.group.name for row in rows],
        "models": [row.group.models for row in rows],
        "filters": [row.moments.count for row in rows],
        **{str(index + 1): values[:, index] for index in range(9)},
        "mixed": pa.array(mixed, pa.string()),
        "agrees": agreement_between(rows[:1], rows, 1).agreement[0],
    }
    columns = (
        Shown("group", "group", 13),
        Shown("models", "models", 5, "whole"),
        Shown("filters", "filters", 7, "whole"),
        *(Shown(str(index + 1), str(index + 1), 4.6, "percent") for index in range(9)),
        Shown("mixed", "not apart", 6),
        Shown("agrees", "agrees with store", 8, "digits"),
    )
    return table_data(caption, pa.table(content), columns)
