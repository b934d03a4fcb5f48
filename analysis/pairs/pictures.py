"""The pictures of ``analysis.pairs``: drift by bin, quality of both sides by bin, ridges of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from analysis.measures.drift import distributions
from analysis.measures.layer_quality import METRICS, floats
from analysis.measures.sign_flips import HIGH
from analysis.measures.summaries import layer_weights, sizes_of, weighted_summary
from analysis.output.names import file_stem
from analysis.pairs.measure import PairsResult
from analysis.pairs.tables import FALSE_DISCOVERIES, bins_table, stands_out
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.paired_bars import DriftBar, draw_drift_bars
from analysis.pictures.quality import BoxRow, draw_boxes
from analysis.pictures.ridges import draw_ridges
from analysis.pictures.style import BLUE, LIGHT, ORANGE, PEACH
from analysis.settings import LayerWeight
from analysis.wording import count, one_line

_COLOURS = ((BLUE, LIGHT), (ORANGE, PEACH))


def drawings(result: PairsResult) -> Iterator[Drawing]:
    """Three, of all layers and by what layers are told apart by."""
    by = result.settings.by
    stem, said = (f"_by_{file_stem(by)}", f" by {by}") if by else ("", "")
    sides = " against ".join(map(one_line, result.listing.sides))
    for name, title, draw in (
        ("drift", "Drift", _bars),
        ("quality", "Layer quality", _boxes),
        ("ridges", "Coefficients", _ridges),
    ):
        whole = f"{title}{said}: {sides}"
        yield Drawing(f"{name}{stem}", whole, partial(draw, result, whole))


def _remarks(result: PairsResult) -> tuple[str, ...]:
    pairs = count(len(result.listing.pairs), "pair")
    extent = f"{pairs} in {count(result.bins[0].drift.clusters, 'cluster')} · {result.extent}"
    shared = {"each": "counts once a pair", "once": "counts once"}[result.settings.shared]
    where = [f"where {result.where}"] if result.where else []
    return (f"{extent} · a model in several pairs {shared}", *where)


def _bars(result: PairsResult, title: str) -> Figure:
    rows = {row["bin"]: row for row in bins_table(result).to_pylist() if row["measure"] == "drift"}
    bars = [
        DriftBar(
            f"{each.name} ({each.drift.pairs})",
            each.drift.together,
            each.drift.of_pairs,
            each.drift.chance.high,
            stands_out(rows[each.name]),
        )
        for each in result.bins
    ]
    remarks = [*_remarks(result), "in brackets: pairs with filters there on both sides"]
    remarks.append(
        f"upright line: {HIGH:.0%} of swapped sides drift no more; orange: q <= {FALSE_DISCOVERIES} (all layers: p)"
    )
    return draw_drift_bars(bars, Caption(title, tuple(remarks)), f"drift D ({result.settings.divergence})")


def _boxes(result: PairsResult, title: str) -> Figure:
    """Two rows a bin: side a above side b."""
    values = {metric: floats(result.quality, metric) for metric in METRICS}
    weight = result.settings.layer_weight
    sizes = {metric: sizes_of(result.quality, metric, weight) for metric in METRICS}
    names = result.quality.column("model_id").to_numpy(zero_copy_only=False).astype(str)
    models = np.unique(names, return_inverse=True)[1].astype(np.int64)
    rows = []
    for each in result.bins:
        for side, members in enumerate(each.rows):
            if not len(members):
                continue
            summaries = {}
            for metric, column in values.items():
                here = members[np.isfinite(column[members]) & (np.nan_to_num(sizes[metric][members]) > 0)]
                found = weighted_summary(column[here], layer_weights(weight, models[here], sizes[metric][here]))
                summaries[metric] = {"mean": found.mean, **found.quantiles}
            label = f"{each.name} · {result.listing.sides[side]}" if side == 0 else result.listing.sides[side]
            rows.append(BoxRow(label, members, summaries, _COLOURS[side]))
    a, b = result.listing.sides
    weigh = "what each metric is of weighs" if weight is LayerWeight.measured else f"all {weight} weigh"
    remarks = (*_remarks(result), f"blue, above: {a}; orange, below: {b} · {weigh} alike")
    return draw_boxes(result.quality, rows, Caption(title, remarks))


def _ridges(result: PairsResult, title: str) -> Figure:
    bins = [each for each in result.bins if each.drift.pairs]
    basis = result.basis
    first, second = (
        distributions(
            np.stack([each.counts[side] for each in bins]), basis.explained_variance_ratio, basis.low, basis.high
        ).probabilities
        / np.diff(basis.edges)
        for side in (0, 1)
    )
    a, b = result.listing.sides
    caption = Caption(title, (*_remarks(result), f"blue: {a}; orange line: {b}"))
    labels = [each.name for each in bins]
    return draw_ridges(labels, first, basis.edges, basis.explained_variance_ratio, caption, second)
