"""The pictures of ``analysis.quality``: boxes by axis, entropy against size, quality over depth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from analysis.measures.summaries import members_of
from analysis.output.names import file_stem
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.quality import BoxRow, draw_boxes, draw_by_depth
from analysis.pictures.quality_by_size import draw_entropy_by_size, draw_untrained_by_size
from analysis.quality.measure import GroupedQuality, QualityResult
from analysis.wording import count


def drawings(result: QualityResult) -> Iterator[Drawing]:
    """One per axis, and three of all layers."""
    for grouped in result.axes:
        title = f"Layer quality by {grouped.grouping.axis}"
        yield Drawing(f"boxes_{file_stem(grouped.grouping.axis)}", title, partial(_boxes, result, grouped, title))
    remarks = (_extent(result), *([f"where {result.where}"] if result.where else []))
    size = Caption("Variance entropy and number of filters", remarks)
    yield Drawing("entropy_by_size", size.title, partial(draw_entropy_by_size, result.layers, size))
    untrained = Caption("Distance from untrained and number of filters", remarks)
    yield Drawing("untrained_by_size", untrained.title, partial(draw_untrained_by_size, result.layers, untrained))
    depth = Caption("Quality over depth", remarks)
    yield Drawing("quality_by_depth", depth.title, partial(draw_by_depth, result.layers, depth))


def _boxes(result: QualityResult, grouped: GroupedQuality, title: str) -> Figure:
    by_group: dict[str, dict[str, Any]] = {}
    for row in grouped.summary.to_pylist():
        by_group.setdefault(row["group"], {})[row["metric"]] = row
    members = members_of(result.layers, grouped.grouping)
    rows = [
        BoxRow(group.label, mine, by_group[group.name])
        for group, mine in zip(grouped.grouping.groups, members, strict=True)
    ]
    remarks = (
        f"{count(len(rows), 'group')} · {_extent(result)} · each of the {result.weight} counts the same",
        *([f"where {result.where}"] if result.where else []),
        *grouped.notes,
    )
    return draw_boxes(result.layers, rows, Caption(title, remarks))


def _extent(result: QualityResult) -> str:
    return f"{count(result.extent.models, 'model')} · {count(result.extent.layers, 'layer')}"
