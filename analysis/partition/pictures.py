"""The pictures of ``analysis.partition``: confounding, shares by part, spread by factor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from analysis.measures.permdisp import FEWEST, Permdisp
from analysis.output.names import file_stem
from analysis.partition.measure import PartitionResult
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.drift_boxes import draw_drift_boxes, drift_box
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.pictures.shares import Shares, draw_shares
from analysis.wording import count


def drawings(result: PartitionResult) -> Iterator[Drawing]:
    """Confounding where there are several factors, shares, and one of the spread for each factor tested."""
    about = (
        f"{count(result.extent.models, 'model')} · distance: {result.distance}",
        *([f"where {result.where}"] if result.where else []),
        *result.notes,
    )
    if result.confounding.num_rows:
        title = "How far factors are confounded"
        yield Drawing("confounding", title, partial(_confounding, result, title))
    shares = Caption("Which factor explains the distances between models", (*_legend(result), *about))
    yield Drawing("partition", shares.title, partial(draw_shares, shares_of(result), result.settings.factors, shares))
    for found in result.dispersions:
        caption = Caption(f"Spread of models by {found.factor.name}", (_tested(found), about[0]))
        yield Drawing(
            f"dispersion_{file_stem(found.factor.name)}", caption.title, partial(_spread, result, found, caption)
        )


def shares_of(result: PartitionResult) -> list[Shares]:
    """A row per part that was partitioned: what each factor adds to all others, and what all explain together."""
    rows, before = [], ""
    for part in result.parts:
        if (found := part.permanova) is not None:
            chance = () if found.arrangements is None else found.margin.r2_chance.tolist()
            rows.append(Shares(part.title, found.margin.r2.tolist(), chance, found.r2, part.of != before))
            before = part.of
    return rows


def _legend(result: PartitionResult) -> tuple[str, ...]:
    found = ["bars: what each factor adds to all the others"]
    if result.settings.permutations:
        found.append("stroke: what as many random groups would add")
    return ("; ".join(found),)


def _confounding(result: PartitionResult, title: str) -> Figure:
    rows = result.confounding.to_pylist()
    names = list(dict.fromkeys(row[side] for row in rows for side in ("a", "b")))
    values = np.eye(len(names))
    for row in rows:
        a, b = names.index(row["a"]), names.index(row["b"])
        corrected = row["cramers_v_corrected"]
        values[a, b] = values[b, a] = row["cramers_v"] if corrected is None or np.isnan(corrected) else corrected
    remarks = [f"{count(rows[0]['observations'], 'observation')}; 0: independent; 1: one follows from the other"]
    return draw_heatmap(Heatmap(names, values, title, remarks, "Cramér's V, corrected for bias"))


def _tested(found: Permdisp) -> str:
    p = "" if np.isnan(found.p) else f", p = {found.p:.3g}"
    return f"do groups differ in spread? F = {found.f:.3g}{p}; groups of fewer than {FEWEST} left out"


def _spread(result: PartitionResult, found: Permdisp, caption: Caption) -> Figure:
    boxes = []
    for level, name in enumerate(found.factor.levels):
        mine = found.distances[found.factor.codes == level]
        boxes.append(drift_box(f"{name} ({len(mine)})", mine))
    boxes.sort(key=lambda box: -float(box["med"]))
    return draw_drift_boxes(boxes, caption, f"distance to the group's {result.settings.middle}")
