"""The quality of layers: boxes by group, entropy against size, trends over depth, degenerate layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.measures.degenerate import COLLAPSED_ENTROPY, COLLAPSED_SPARSITY, RANDOM_MARGIN, Degeneracy
from analysis.measures.layer_quality import FEW_FILTERS, METRICS, count_untrained
from analysis.measures.summaries import summarise
from analysis.output.markup import Markup, together
from analysis.output.names import file_stem
from analysis.quality.measure import GroupedQuality
from analysis.report.cards import Cards, spaced, tabs
from analysis.report.measure import ReportResult
from analysis.report.tables import table_data
from analysis.selection.grouping import group_layers
from analysis.settings import LayerWeight
from analysis.wording import count

#: Up to so many layers are listed one by one beside the picture of their entropy.
_MOST_LISTED = 4000

#: Columns of a layer in tables, with their titles; and of a summary.
_LAYER = {
    "model": "model",
    "layer": "layer",
    "degenerate": "degenerate",
    "num_filters": "filters",
    "variance_entropy": "entropy",
    "random_threshold": "T(n)",
    "sparsity": "sparsity",
    "conv_depth_norm": "depth",
}
_UNTRAINED = {
    **{"model": "model", "layer": "layer", "num_filters": "filters", "distance_from_untrained": "distance"},
    **{"untrained_threshold": "chance up to", "conv_depth_norm": "depth"},
}
_SUMMARY = {
    **{"group": "group", "models": "models", "layers_measured": "layers"},
    **{"q05": "5 %", "q25": "25 %", "median": "median", "q75": "75 %", "q95": "95 %", "mean": "mean"},
}
#: Columns of numbers of degenerate layers → of which kind.
_KINDS = {f"{kind.value.replace(' ', '_')}_layers": kind.value for kind in Degeneracy}


def quality_section(report: ReportResult, cards: Cards) -> Markup:
    """By axis, by size and by depth; and the layers that went wrong."""
    quality = report.quality
    by_depth = summarise(quality.layers, group_layers(report.selected, "depth"), LayerWeight.layers)
    size = (
        "Small layers cannot be varied, whatever they learned: each layer is to be read against the curve of random "
        "filters for its size."
    )
    depth = (
        "Layers by their place in their network, 0 the stem; every layer counts the same, so deep networks count more."
    )
    parts = (
        tabs("Axis of the quality", [(each.grouping.axis, _axis(each, cards)) for each in quality.axes]),
        cards.card(
            "Entropy and size", size, cards.table(_layers(quality.layers)), stem="entropy_by_size", command="quality"
        ),
        cards.card("Over depth", depth, cards.table(_summary(by_depth)), stem="quality_by_depth", command="quality"),
        _untrained(report, cards),
        _degenerate(report, cards),
    )
    return together(parts)


def _untrained(report: ReportResult, cards: Cards) -> Markup:
    layers = report.quality.layers
    about = (
        "How far the second moments of a layer’s scaled filters are from those of independent weights, less what their "
        "number alone makes of it: 0 for a layer that looks as it was initialised, 8 where all filters are one. "
        f"{count_untrained(layers):,} of {count(layers.num_rows, 'layer')} lie within chance."
    )
    nearest = layers.sort_by([("distance_from_untrained", "ascending")]).slice(0, _MOST_LISTED)
    table = cards.table(_table("Layers, the nearest to untrained first", nearest, _UNTRAINED))
    return cards.card("Distance from untrained", about, table, stem="untrained_by_size", command="quality")


def _axis(grouped: GroupedQuality, cards: Cards) -> Markup:
    axis = grouped.grouping.axis
    kinds = _table("Degenerate layers", grouped.degenerate, {"group": "group", "layers": "layers", **_KINDS})
    tables = (cards.table(_summary(grouped.summary)), cards.table(kinds, "Degenerate layers"))
    return cards.card(
        f"Layer quality by {spaced(axis)}", "", tables, stem=f"quality_{file_stem(axis)}", command="quality"
    )


def _summary(summary: pa.Table) -> dict[str, Any]:
    metrics = pa.array([METRICS[metric] for metric in summary.column("metric").to_pylist()])
    shown = summary.select(list(_SUMMARY)).rename_columns(list(_SUMMARY.values()))
    return table_data("Layer quality", shown.add_column(1, "metric", metrics))


def _layers(layers: pa.Table) -> dict[str, Any]:
    if layers.num_rows <= _MOST_LISTED:
        return _table("Layers", layers, _LAYER)
    most = layers.sort_by([("variance_entropy_normalized", "descending")]).slice(0, _MOST_LISTED)
    return _table(f"Layers of most entropy for their size, among {layers.num_rows:,}", most, _LAYER)


def _table(caption: str, rows: pa.Table, columns: Mapping[str, str]) -> dict[str, Any]:
    return table_data(caption, rows.select(list(columns)).rename_columns(list(columns.values())))


def _degenerate(report: ReportResult, cards: Cards) -> Markup:
    quality = report.quality
    (numbers,) = quality.whole.degenerate.to_pylist()
    said = ", ".join(f"{numbers[column]:,} {kind}" for column, kind in _KINDS.items())
    about = (
        f"Layers that look untrained (entropy within {RANDOM_MARGIN} of that of random filters), that collapsed "
        f"(entropy under {COLLAPSED_ENTROPY} with {COLLAPSED_SPARSITY:.0%} or more sparse filters), or hold only zeros:"
        f" {said}."
    )
    if few := int(pc.sum(quality.layers.column("few_filters")).as_py() or 0):
        about += f" {count(few, 'layer')} of fewer than {FEW_FILTERS} filters: entropy says little about them."
    title, found = "Degenerate layers", quality.degenerate
    table = cards.open_table(_table(title, found, _LAYER)) if found.num_rows else None
    return cards.card(title, about, table, command="quality")
