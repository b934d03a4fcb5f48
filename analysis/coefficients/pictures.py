"""The pictures of ``analysis.coefficients``: ridges by axis, densities of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from analysis.coefficients.distributions import GroupedDensities
from analysis.coefficients.measure import CoefficientsResult
from analysis.output.names import file_stem
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.densities import DensityPanel, draw_densities
from analysis.pictures.ridges import draw_ridges
from analysis.wording import count, elide, one_line


def drawings(result: CoefficientsResult) -> Iterator[Drawing]:
    """One per axis; of densities one per axis and pair of components, or per model and pair for single layers."""
    where = (f"where {one_line(result.where)}",) if result.where else ()
    extent = " · ".join(
        (
            count(result.extent.models, "model"),
            count(result.extent.layers, "layer"),
            count(result.extent.filters, "filter"),
            f"{result.settings.weight} weigh alike",
        )
    )
    for axis in result.ridges:
        caption = Caption(f"Coefficients by {axis.grouping.axis}", (extent, *where, *axis.notes))
        labels = [group.label for group in axis.grouping.groups]
        ratio = result.basis.explained_variance_ratio
        stem = f"ridges_{file_stem(axis.grouping.axis)}"
        yield Drawing(stem, caption.title, partial(draw_ridges, labels, axis.densities, axis.edges, ratio, caption))
    for part in result.densities:
        for stem, title, members in _pictures(part):
            for p, pair in enumerate(part.densities.pairs):
                heading = f"{title}: components {pair[0]} and {pair[1]}"
                draw = partial(_densities, part, members, p, heading, where)
                yield Drawing(f"{stem}_{pair[0]}-{pair[1]}", heading, draw)


def _densities(
    part: GroupedDensities, members: list[tuple[int, str]], pair: int, title: str, where: tuple[str, ...]
) -> Figure:
    panels = []
    for g, label in members:
        score, filters = part.score(g, pair), int(part.densities.filters[g])
        panels.append(DensityPanel(label, part.densities.counts[g, pair], filters, score.phenotype))
    edges = part.densities.edges
    cells = f"{count(len(panels), 'density')} · logarithm of the share of filters in each of {len(edges) - 1}² cells"
    return draw_densities(
        panels, edges, part.densities.pairs[pair], Caption(title, (cells, *where, *part.grouping.notes))
    )


def _pictures(part: GroupedDensities) -> list[tuple[str, str, list[tuple[int, str]]]]:
    """Stem, title, and (group, label) of the panels: a picture per model for layers, one for groups."""
    groups = part.grouping.groups
    if part.grouping.axis != "layer":
        members = [(g, one_line(group.label)) for g, group in enumerate(groups)]
        return [(f"densities_{file_stem(part.grouping.axis)}", f"Densities by {part.grouping.axis}", members)]
    by_model: dict[str, list[tuple[int, str]]] = {}
    for g, group in enumerate(groups):
        model, _, layer = group.name.rpartition(": ")
        by_model.setdefault(model, []).append((g, one_line(layer)))
    return [
        (f"densities_layer_{file_stem(model)}", f"Layers of {elide(one_line(model), 40)}", members)
        for model, members in by_model.items()
    ]
