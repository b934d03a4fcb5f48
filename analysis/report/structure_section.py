"""Eigenfilters and cumulative variance of the store and of each group, as data for the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.measures.eigenfilters import Structure, agreement_of
from analysis.report.encoding import numbers, packed
from analysis.report.measure import ReportResult
from analysis.structure.measure import AxisStructure
from analysis.wording import one_line


def structure_section(report: ReportResult) -> dict[str, Any]:
    """Rows of nine components: the store's (and the selection's), then each axis's groups."""
    structure = report.structure
    standing = [structure.whole, *([structure.selection] if structure.selection else [])]
    return {
        "standing": _rows(standing, structure.whole),
        "axes": [_axis(axis, structure.whole) for axis in structure.axes],
    }


def _axis(axis: AxisStructure, whole: Structure) -> dict[str, Any]:
    return {
        "axis": one_line(axis.grouping.axis),
        "notes": [one_line(note) for note in axis.notes],
        **_rows(list(axis.structures), whole),
    }


def _rows(rows: list[Structure], whole: Structure) -> dict[str, Any]:
    """(R,) names and sizes, (R, 81) components and (R, 9) shares of variance, NaN where there is none."""
    components = np.full((len(rows), 9, 9), np.nan)
    for index, row in enumerate(rows):
        if row.principal is not None:
            components[index] = np.where(row.directed[:, None], row.principal.components, np.nan)
    agreement = agreement_of([whole, *rows], 1).agreement[0, 1:]
    return {
        "names": [one_line(row.group.name) for row in rows],
        "models": [row.group.models for row in rows],
        "layers": [row.group.layers for row in rows],
        "filters": [row.moments.count for row in rows],
        "few": [int(row.few_filters) for row in rows],
        "components": packed(components),
        "ratio": packed(np.array([row.ratio for row in rows])),
        "separated": [int(flag) for row in rows for flag in row.separated],
        "agrees": numbers(agreement, 4),
    }
