"""Drift matrices with their intervals and orders, and boxes of drifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.measures.drift_matrix import AxisShift
from analysis.output.names import file_stem
from analysis.pictures.drift_boxes import drift_box
from analysis.report.cards import Cards, notes, section, spaced, tabs
from analysis.report.clustering import cluster_order
from analysis.report.markup import Markup, el
from analysis.report.measure import ReportResult
from analysis.report.tables import Shown, table_data, upper
from analysis.wording import count, one_line

_BOX = (
    *(Shown(key, title, 6, "digits") for key, title in (("whislo", "low"), ("q1", "quartile 1"), ("med", "median"))),
    *(Shown(key, title, 6, "digits") for key, title in (("q3", "quartile 3"), ("whishi", "high"), ("mean", "mean"))),
)


def boxes_by_axis(shifts: Sequence[AxisShift]) -> list[dict[str, Any]]:
    """The drifts of all pairs of groups of each axis (``analysis.pictures.drift_boxes.drift_box``)."""
    found = []
    for shift in shifts:
        pairs = shift.drift[np.triu_indices(len(shift.groups), k=1)]
        if len(pairs):
            found.append(drift_box(f"{one_line(shift.axis)} ({count(len(pairs), 'pair')})", pairs))
    return found


def boxes_by_group(shift: AxisShift) -> list[dict[str, Any]]:
    """The drifts of each group to all others, the farthest first."""
    boxes = [drift_box(group.label, np.delete(shift.drift[g], g)) for g, group in enumerate(shift.groups)]
    return sorted(boxes, key=lambda box: -float(box["med"]))


def drift_section(report: ReportResult, cards: Cards) -> Markup:
    """Boxes of all axes, then each axis's matrix and the boxes of its groups."""
    left_out = [el("p", reason, class_="warn") for reason in report.left_out.values()]
    lead = (
        "Every filter is scaled to a largest weight of 1 and written in the store’s nine principal components; drift D "
        "compares two groups’ histograms of these coefficients"
        + (f" ({report.shifts[0].divergence})" if report.shifts else "")
        + ". It says that distributions differ, not why."
    )
    panels = [
        (shift.axis, [_matrix(shift, number, cards), _groups(shift, cards)])
        for number, shift in enumerate(report.shifts)
    ]
    matrices = tabs("Axis of the drift matrix", panels) if panels else None
    return section("drift", "Drift", lead, left_out, _axes(report.shifts, cards), matrices)


def matrix_data(shift: AxisShift, report: ReportResult) -> dict[str, Any]:
    """Groups, matrices (pairs only: all are symmetric with a known diagonal) and the clustered order, for the scripts.

    ``few``: fewer models than a cell needs to be relied upon; where each model or layer is its own group, that is no
    flaw of the group.
    """
    (structure,) = (axis for axis in report.structure.axes if axis.grouping.axis == shift.axis)
    found: dict[str, Any] = {
        "axis": spaced(shift.axis),
        "names": [one_line(group.name) for group in shift.groups],
        **{size: [getattr(group, size) for group in shift.groups] for size in ("models", "layers", "filters")},
        "few": np.diag(shift.few_models).astype(int).tolist(),
        "least": shift.min_models,
        "single": shift.grouping.single_models,
        "natural": shift.axis == "depth",
        "drift": upper(shift.drift),
        "cluster": cluster_order(shift.drift),
        "disagreement": upper(1.0 - structure.agreement.agreement),
    }
    if shift.uncertainty is not None:
        found["level"] = report.settings.level
        for name in ("low", "high", "null_high", "p_value", "q_value"):
            found[name] = upper(getattr(shift.uncertainty, name))
    return found


def _matrix(shift: AxisShift, number: int, cards: Cards) -> Markup:
    stem = file_stem(shift.axis)
    about = ["How far apart the filters of two groups are: 0 is alike, more is farther."]
    if not shift.grouping.single_models:
        about.append("Brackets hold the number of models.")
    if shift.few_models.any():
        about.append(
            f"A stroke marks pairs with fewer than {shift.min_models} models on a side: there the drift says as much "
            "about those models as about the group."
        )
    if shift.uncertainty is not None:
        about.append(
            "Intervals come from drawing models again with replacement; p and q from dealing the models of both groups "
            "out anew."
        )
    return el(
        "section",
        el(
            "header",
            el("h3", f"Drift by {spaced(shift.axis)}"),
            cards.links(f"drift_{stem}", data_measure="drift"),
            cards.links(f"agreement_{stem}", data_measure="disagreement", hidden=True),
        ),
        el("p", " ".join(about)),
        el("div", data_matrix=number),
        notes(shift.notes),
        cards.made_by("shift"),
        class_="card",
    )


def _axes(shifts: Sequence[AxisShift], cards: Cards) -> Markup | None:
    boxes = boxes_by_axis(shifts)
    if not boxes:
        return None
    about = (
        "All pairs of groups of each axis. Axes with many small groups look farther apart: small groups differ by chance "
        "too."
    )
    table = _boxes("Drift by axis", boxes, "axis")
    title = "Which axis separates filters most?"
    return cards.card(title, about, cards.table(table), stem="drift_boxes", command="shift")


def _groups(shift: AxisShift, cards: Cards) -> Markup | None:
    if len(shift.groups) < 3:
        return None
    by, stem = spaced(shift.axis), f"drift_groups_{file_stem(shift.axis)}"
    table = _boxes(f"Drift of each group by {by} to the others", boxes_by_group(shift), by)
    about = "Each group’s drift to all others, the farthest on top."
    return cards.card(f"Which group by {by} stands out?", about, cards.table(table), stem=stem, command="shift")


def _boxes(caption: str, boxes: Sequence[dict[str, Any]], what: str) -> dict[str, Any]:
    content = {"label": [box["label"] for box in boxes]}
    content |= {shown.column: [float(box[shown.column]) for box in boxes] for shown in _BOX}
    return table_data(caption, pa.table(content), (Shown("label", what, 14), *_BOX))
