"""The figures of ``analysis.report``: those of shift, structure and quality under its names, and some of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from analysis.lineage.pictures import drawings as of_lineage
from analysis.output.names import file_stem
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.counts import draw_counts
from analysis.pictures.drift_boxes import draw_drift_boxes
from analysis.pictures.eigenfilters import draw_eigenfilters
from analysis.pictures.symmetry import draw_symmetry
from analysis.quality.pictures import drawings as of_quality
from analysis.report.contents import counts_of
from analysis.report.drift import boxes_by_axis, boxes_by_group
from analysis.report.measure import ReportResult
from analysis.shift.pictures import drawings as of_shift
from analysis.structure.pictures import drawings as of_structure


def drawings(result: ReportResult) -> Iterator[Drawing]:
    """The figures that stand in the page."""
    remarks = (str(result.extent), *([f"where {result.where}"] if result.where else []))
    counts = Caption("Models by kind", remarks)
    yield Drawing("contents", counts.title, partial(draw_counts, counts_of(result.models)[:3], counts))
    yield from (drawing for drawing in of_lineage(result.lineage) if drawing.stem == "lineage_tree")
    if boxes := boxes_by_axis(result.shifts):
        unit = f"drift D ({result.shifts[0].divergence})"
        axes = Caption("Drift between groups, by axis", remarks)
        yield Drawing("drift_boxes", axes.title, partial(draw_drift_boxes, boxes, axes, unit))
        for shift in result.shifts:
            if shift.grouping.learned.sum() > 2:
                groups = Caption(f"Drift of each group by {shift.axis} to the others", remarks)
                draw = partial(draw_drift_boxes, boxes_by_group(shift), groups, unit)
                yield Drawing(f"drift_groups_{file_stem(shift.axis)}", groups.title, draw)
    if not result.structure.axes:
        tiles = Caption("Eigenfilters", remarks)
        yield Drawing("eigenfilters", tiles.title, partial(draw_eigenfilters, result.structure.standing, tiles))
        symmetry = Caption("Symmetry", remarks)
        yield Drawing("symmetry", symmetry.title, partial(draw_symmetry, result.structure.standing, symmetry))
    yield from (drawing for drawing in of_structure(result.structure) if not _is_matrix(drawing))
    yield from _renamed(of_quality(result.quality), "boxes_", "quality_")


def matrices(result: ReportResult) -> Iterator[Drawing]:
    """The figures that stand beside the page only: in it, matrices are drawn anew at each wish of its reader."""
    if result.shift:
        yield from _renamed(of_shift(result.shift), "shift_", "drift_")
    yield from filter(_is_matrix, of_structure(result.structure))


def _is_matrix(drawing: Drawing) -> bool:
    return drawing.stem.startswith("agreement_")


def _renamed(found: Iterable[Drawing], theirs: str, ours: str) -> Iterator[Drawing]:
    for drawing in found:
        stem = drawing.stem
        yield replace(drawing, stem=ours + stem.removeprefix(theirs)) if stem.startswith(theirs) else drawing
