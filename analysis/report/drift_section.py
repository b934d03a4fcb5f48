"""Drift matrices with their intervals, orders and box plots, as data for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.drift_matrix import AxisShift
from analysis.report.clustering import cluster_order
from analysis.report.encoding import numbers, upper
from analysis.report.measure import ReportResult
from analysis.selection.grouping import Grouping
from analysis.wording import one_line

#: Pairs beyond the whiskers that a box plot names.
_MOST_OUTLIERS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """One box: quartiles, whiskers at the last value within 1.5 interquartile ranges (Tukey), mean, number of values,
    and the indices of values beyond the whiskers, farthest first."""

    low: float
    q1: float
    median: float
    q3: float
    high: float
    mean: float
    number: int
    beyond: Int64


def box_of(values: Float64) -> Box:
    """The box of (N,) values, N ≥ 1."""
    q1, median, q3 = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    beyond = np.flatnonzero((values < q1 - reach) | (values > q3 + reach))
    beyond = beyond[np.argsort(-np.abs(values[beyond] - median), kind="stable")]
    low, high = float(inside.min(initial=q1)), float(inside.max(initial=q3))
    return Box(low, q1, median, q3, high, float(values.mean()), len(values), beyond)


def pair_values(drift: Float64) -> Float64:
    """(G (G − 1) / 2,) the pairs of a matrix."""
    pairs: Float64 = drift[np.triu_indices(len(drift), k=1)]
    return pairs


def drift_section(report: ReportResult) -> dict[str, Any]:
    """Every axis's matrix, and a box per axis over its pairs."""
    shift = report.shift
    basis = None if shift is None else shift.basis
    return {
        "axes": [axis_data(found, report, index) for index, found in enumerate(report.shifts)],
        "boxes": [_axis_box(found) for found in report.shifts if len(found.groups) > 1],
        "basis": None
        if basis is None
        else {
            "digest": basis.digest,
            "low": basis.low,
            "high": basis.high,
            "bins": basis.bins,
            "filters": basis.filters,
            "ratio": numbers(basis.explained_variance_ratio),
        },
    }


def axis_data(shift: AxisShift, report: ReportResult, index: int) -> dict[str, Any]:
    """Groups, matrices (pairs only: all are symmetric with a known diagonal) and the clustered order."""
    found: dict[str, Any] = {
        "axis": one_line(shift.axis),
        "groups": groups_data(shift.grouping, shift.min_models),
        "notes": [one_line(note) for note in shift.notes],
        "drift": upper(shift.drift),
        "cluster": cluster_order(shift.drift),
        "disagreement": upper(1.0 - report.structure.axes[index].agreement.agreement),
    }
    if shift.uncertainty is not None:
        for name in ("low", "high", "null_median", "null_high", "p_value", "q_value"):
            found[name] = upper(getattr(shift.uncertainty, name))
    return found


def groups_data(grouping: Grouping, min_models: int) -> dict[str, Any]:
    """Columns of a table with a row per group; ``few``: fewer models than a cell needs to be relied upon.

    Where each model or layer is its own group, that is no flaw of the group.
    """
    groups = grouping.groups
    single = grouping.single_models
    return {
        "names": [one_line(group.name) for group in groups],
        "models": [group.models for group in groups],
        "layers": [group.layers for group in groups],
        "filters": [group.filters for group in groups],
        "few": [int(group.models < min_models and not single) for group in groups],
        "single": single,
    }


def _axis_box(shift: AxisShift) -> dict[str, Any]:
    box = box_of(pair_values(shift.drift))
    first, second = np.triu_indices(len(shift.drift), k=1)
    far = box.beyond[:_MOST_OUTLIERS]
    return {
        "axis": one_line(shift.axis),
        **{name: getattr(box, name) for name in ("low", "q1", "median", "q3", "high", "mean", "number")},
        "outliers": {"a": first[far].tolist(), "b": second[far].tolist(), "total": len(box.beyond)},
    }
