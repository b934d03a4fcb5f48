"""The pictures of ``analysis.structure``: eigenfilters, cumulative variance, disagreement, by axis."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from analysis.output.names import file_stem
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.eigenfilters import draw_cumulative, draw_eigenfilters
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.pictures.symmetry import draw_symmetry
from analysis.structure.measure import AxisStructure, StructureResult
from analysis.wording import count


def drawings(result: StructureResult) -> Iterator[Drawing]:
    """Four per axis, the last two where a group has components at all."""
    for axis in result.axes:
        stem = file_stem(axis.grouping.axis)
        about = _remarks(result, axis)
        tiles = Caption(f"Eigenfilters by {axis.grouping.axis}", about)
        rows = [*result.standing, *axis.structures]
        yield Drawing(f"eigenfilters_{stem}", tiles.title, partial(draw_eigenfilters, rows, tiles))
        symmetry = Caption(f"Symmetry by {axis.grouping.axis}", about)
        yield Drawing(f"symmetry_{stem}", symmetry.title, partial(draw_symmetry, rows, symmetry))
        if all(structure.principal is None for structure in axis.structures):
            continue  # nothing has a direction; the notes say so
        curves = Caption(f"Cumulative variance by {axis.grouping.axis}", about)
        yield Drawing(
            f"cumulative_{stem}", curves.title, partial(draw_cumulative, result.whole, axis.structures, curves)
        )
        title = f"Disagreement of eigenfilters by {axis.grouping.axis}"
        yield Drawing(f"agreement_{stem}", title, partial(_disagreement, axis, Caption(title, about)))


def _remarks(result: StructureResult, axis: AxisStructure) -> tuple[str, ...]:
    sizes = (
        count(int(axis.grouping.learned.sum()), "group"),
        count(result.extent.models, "model"),
        count(axis.grouping.filters, "filter"),
    )
    return (" · ".join(sizes), *([f"where {result.where}"] if result.where else []), *axis.notes)


def _disagreement(axis: AxisStructure, caption: Caption) -> Figure:
    """Of the groups that have components."""
    known = [index for index, structure in enumerate(axis.structures) if structure.principal is not None]
    few = np.array([axis.structures[index].few_filters for index in known])
    remarks = [
        "0: the same components in the same order; 1: none alike",
        *(["hatched: fewer than ten filters in one of the two"] if few.any() else []),
        *caption.remarks,
    ]
    return draw_heatmap(
        Heatmap(
            labels=[axis.structures[index].group.label for index in known],
            values=np.maximum(1.0 - axis.agreement.agreement[np.ix_(known, known)], 0.0),
            title=caption.title,
            remarks=remarks,
            unit="1 − agreement (variance-weighted |cos|)",
            hatched=few[:, None] | few[None],
        )
    )
