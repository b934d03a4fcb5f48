"""The pictures of ``analysis.lineage``: a tree and a heat map of the models that something ties."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from analysis.lineage.measure import LineageResult
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.pictures.trees import draw_trees
from analysis.ties.pairs import DESCENT
from analysis.wording import count, one_line

_UNIT = "mean cosine of the layers of equal shape"


def drawings(result: LineageResult) -> Iterator[Drawing]:
    """None where nothing is tied to anything."""
    linkage = result.drawn
    if not linkage.labels:
        return
    extent = f"{count(len(linkage.labels), 'model')} of {result.extent.models}, the others are tied to none"
    where = (f"where {one_line(result.where)}",) if result.where else ()
    remarks = (extent, *where, *result.notes)
    tree = Caption("Lineages", (*remarks, f"dashed: {DESCENT}, from which a mean cosine is taken for descent"))
    yield Drawing("lineage_tree", "Lineages", partial(draw_trees, linkage, tree, _UNIT, DESCENT))
    matrix = Heatmap(linkage.labels, linkage.cosines, "Models that are tied", remarks, _UNIT)
    yield Drawing("lineage_cosines", "Models that are tied", partial(draw_heatmap, matrix))
