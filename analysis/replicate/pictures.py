"""The picture of ``analysis.replicate`` that no other command has: boxes of the drifts of all axes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.drift_boxes import draw_drift_boxes
from analysis.replicate.measure import ReplicateResult
from analysis.report.drift import boxes_by_axis


def drawings(result: ReplicateResult) -> Iterator[Drawing]:
    """Nothing where no axis has two groups."""
    if boxes := boxes_by_axis(result.shifts):
        caption = Caption("Drift between groups, by axis", (str(result.extent),))
        unit = f"drift D ({result.shifts[0].divergence})"
        yield Drawing("drift_boxes", caption.title, partial(draw_drift_boxes, boxes, caption, unit))
