"""Drift matrices with their intervals and orders, and boxes of drifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float64
from analysis.measures.drift_matrix import AxisShift
from analysis.measures.verdicts import Verdict
from analysis.output.markup import Markup, el, together
from analysis.output.names import file_stem
from analysis.pictures.drift_boxes import drift_box
from analysis.report.cards import Cards, notes, spaced, tabs
from analysis.report.clustering import cluster_order
from analysis.report.measure import ReportResult
from analysis.report.tables import table_data, upper
from analysis.selection.axes import DEPTH_AXES
from analysis.shift.words import adjusted_by, verdict_marks
from analysis.wording import count, one_line

#: What a table calls the numbers of a box.
_BOX = {"whislo": "low", "q1": "quartile 1", "med": "median", "q3": "quartile 3", "whishi": "high", "mean": "mean"}


def boxes_by_axis(shifts: Sequence[AxisShift]) -> list[dict[str, Any]]:
    """The drifts of all pairs of groups of each axis (``analysis.pictures.drift_boxes.drift_box``)."""
    found = []
    for shift in shifts:
        drift = _of_models(shift)
        pairs = drift[np.triu_indices(len(drift), k=1)]
        if len(pairs):
            found.append(drift_box(f"{one_line(shift.axis)} ({count(len(pairs), 'pair')})", pairs))
    return found


def boxes_by_group(shift: AxisShift) -> list[dict[str, Any]]:
    """The drifts of each group to all others, the farthest first."""
    drift, groups = _of_models(shift), [group for group in shift.groups if group.models]
    boxes = [drift_box(group.label, np.delete(drift[g], g)) for g, group in enumerate(groups)]
    return sorted(boxes, key=lambda box: -float(box["med"]))


def _of_models(shift: AxisShift) -> Float64:
    """(G', G') drifts between groups of models: how far those are from untrained says nothing of an axis."""
    learned = shift.grouping.learned
    return shift.drift[np.ix_(learned, learned)]


def drift_section(report: ReportResult, cards: Cards) -> Markup:
    """Boxes of all axes, then each axis's matrix and the boxes of its groups."""
    left_out = [el("p", reason, class_="warn") for reason in report.left_out.values()]
    panels = [
        (shift.axis, [_matrix(shift, number, cards), _groups(shift, cards)])
        for number, shift in enumerate(report.shifts)
    ]
    return together((left_out, _axes(report.shifts, cards), tabs("Axis of the drift matrix", panels)))


def matrix_data(shift: AxisShift, report: ReportResult) -> dict[str, Any]:
    """Groups, matrices (pairs only: all are symmetric with a known diagonal) and the clustered order, for the scripts.

    ``few``: fewer models than a cell needs to be relied upon; where each model or layer is its own group, that is no
    flaw of the group.
    """
    (structure,) = (axis for axis in report.structure.axes if axis.grouping.axis == shift.axis)
    found: dict[str, Any] = {
        "axis": spaced(shift.axis),
        "names": shift.grouping.names,
        **{size: [getattr(group, size) for group in shift.groups] for size in ("models", "layers", "filters")},
        "few": np.diag(shift.few_models).astype(int).tolist(),
        "least": shift.min_models,
        "unit": shift.grouping.unit,
        "single": shift.grouping.single_models,
        "natural": shift.axis in DEPTH_AXES,
        "drift": upper(shift.drift),
        "cluster": cluster_order(shift.drift),
        "disagreement": upper(1.0 - structure.agreement.agreement),
    }
    if shift.uncertainty is not None:
        found["level"] = report.settings.level
        for name in ("debiased", "low", "high", "floor", "null_high", "p_value", "q_value"):
            found[name] = upper(getattr(shift.uncertainty, name))
    if (said := shift.verdicts) is not None:
        found["verdicts"] = list(Verdict)
        found["verdict"] = upper(np.select([said == verdict for verdict in Verdict], range(len(Verdict))))
    return found


def _matrix(shift: AxisShift, number: int, cards: Cards) -> Markup:
    stem = file_stem(shift.axis)
    about = "How far apart the filters of two groups are: 0 is alike, more is farther."
    if not shift.grouping.single_models:
        about += " Brackets hold the number of models."
    if not shift.grouping.learned.all():
        about += " Untrained filters are no model: nothing of them can be drawn again or dealt out."
    if shift.few_models.any():
        about += (
            f" A stroke marks pairs with fewer than {shift.min_models} {shift.units} on a side: there the drift says "
            f"as much about those {shift.units} as about the group."
        )
    if shift.uncertainty is not None:
        about += (
            f" Drift of few {shift.units} is too large: debiased, and its interval, come from leaving each out in "
            f"turn; p and q{adjusted_by(shift)} come from dealing the {shift.units} of both groups out anew."
        )
    if shift.verdicts is not None:
        about += f" Verdicts: {verdict_marks(shift, 'dot', 'ring', 'no mark')}."
    links = (
        cards.links(f"drift_{stem}", data_measure="drift"),
        cards.links(f"agreement_{stem}", data_measure="disagreement", hidden=True),
    )
    header = el("header", el("h3", f"Drift by {spaced(shift.axis)}"), links)
    body = (el("div", data_matrix=number), notes(shift.notes), cards.made_by("shift"))
    return el("section", header, el("p", about), body, class_="card")


def _axes(shifts: Sequence[AxisShift], cards: Cards) -> Markup | None:
    boxes = boxes_by_axis(shifts)
    if not boxes:
        return None
    title = "Which axis separates filters most?"
    about = (
        "All pairs of groups of each axis. Axes with many small groups look farther apart: small groups differ by "
        "chance too."
    )
    return cards.card(title, about, cards.table(_boxes(boxes, "axis")), stem="drift_boxes", command="shift")


def _groups(shift: AxisShift, cards: Cards) -> Markup | None:
    if shift.grouping.learned.sum() < 3:
        return None
    by, stem = spaced(shift.axis), f"drift_groups_{file_stem(shift.axis)}"
    table = cards.table(_boxes(boxes_by_group(shift), by))
    about = "Each group’s drift to all others, the farthest on top."
    return cards.card(f"Which group by {by} stands out?", about, table, stem=stem, command="shift")


def _boxes(boxes: Sequence[Mapping[str, Any]], what: str) -> dict[str, Any]:
    content = {what: [box["label"] for box in boxes]}
    content |= {title: [float(box[key]) for box in boxes] for key, title in _BOX.items()}
    return table_data(f"Drift by {what}", pa.table(content))
