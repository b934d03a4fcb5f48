"""The quality of layers: boxes by group, entropy against size, trends over depth, degenerate layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.measures.degenerate import Degeneracy
from analysis.measures.layer_quality import METRICS, floats
from analysis.measures.summaries import summarise
from analysis.output.names import file_stem
from analysis.quality.measure import GroupedQuality
from analysis.report.cards import Cards, section, spaced, tabs
from analysis.report.markup import Markup
from analysis.report.measure import ReportResult
from analysis.report.tables import Shown, table_data
from analysis.selection.grouping import group_layers
from analysis.settings import Weight
from analysis.wording import count

#: Up to so many layers are listed one by one beside the picture of their entropy.
_MOST_LISTED = 4000

_LEAD = (
    "Measured per layer when it was extracted: how many filters do next to nothing (sparsity), how varied they are "
    "(variance entropy, against that of random filters), how independent the output channels are (orthogonality). They "
    "describe weights, not accuracy."
)
_SUMMARY = (
    Shown("group", "group", 12),
    Shown("metric", "metric", 12),
    Shown("models", "models", 5, "whole"),
    Shown("layers_measured", "layers", 5, "whole"),
    *(Shown(key, title, 5, "digits") for key, title in (("q05", "5 %"), ("q25", "25 %"), ("median", "median"))),
    *(Shown(key, title, 5, "digits") for key, title in (("q75", "75 %"), ("q95", "95 %"), ("mean", "mean"))),
)
_KINDS = (
    Shown("group", "group", 12),
    Shown("layers", "layers", 6, "whole"),
    *(Shown(f"{kind.value.replace(' ', '_')}_layers", kind.value, 6, "whole") for kind in Degeneracy),
)
_LAYER = (
    Shown("model", "model", 12),
    Shown("layer", "layer", 14),
    Shown("degenerate", "degenerate", 7),
    Shown("num_filters", "filters", 6, "whole"),
    Shown("variance_entropy", "entropy", 6, "digits"),
    Shown("random_threshold", "T(n)", 6, "digits"),
    Shown("sparsity", "sparsity", 6, "digits"),
    Shown("conv_depth_norm", "depth", 6, "digits"),
)
_SIZE = (
    Shown("filters", "filters from", 7, "whole"),
    Shown("layers", "layers", 6, "whole"),
    Shown("degenerate", "degenerate", 6, "whole"),
    *(Shown(key, title, 7, "digits") for key, title in (("q05", "entropy 5 %"), ("median", "median"), ("q95", "95 %"))),
)


def quality_section(report: ReportResult, cards: Cards) -> Markup:
    """By axis, by size and by depth; and the layers that went wrong."""
    quality = report.quality
    panels = [(grouped.grouping.axis, _axis(grouped, cards)) for grouped in quality.axes]
    by_depth = summarise(quality.layers, group_layers(report.selected, "depth"), Weight.layers)
    return section(
        "quality",
        "Quality",
        _LEAD,
        tabs("Axis of the quality", panels) if panels else None,
        cards.card(
            "Entropy and size",
            "Small layers cannot be varied, whatever they learned: each layer is to be read against the curve of random "
            "filters for its size.",
            cards.table(_by_size(quality.layers)),
            stem="entropy_by_size",
            command="quality",
        ),
        cards.card(
            "Over depth",
            "Layers by their place in their network, 0 the stem; every layer counts the same, so deep networks count more.",
            cards.table(_summary("Layer quality over depth", by_depth)),
            stem="quality_by_depth",
            command="quality",
        ),
        _degenerate(report, cards),
    )


def _axis(grouped: GroupedQuality, cards: Cards) -> Markup:
    axis = grouped.grouping.axis
    title = f"Layer quality by {spaced(axis)}"
    return cards.card(
        title,
        "",
        cards.table(_summary(title, grouped.summary)),
        cards.table(table_data(f"Degenerate layers by {spaced(axis)}", grouped.degenerate, _KINDS), "Degenerate layers"),
        stem=f"quality_{file_stem(axis)}",
        command="quality",
    )


def _summary(caption: str, summary: pa.Table) -> dict[str, Any]:
    place = summary.schema.get_field_index("metric")
    titles = pa.array([METRICS[metric] for metric in summary.column("metric").to_pylist()])
    return table_data(caption, summary.set_column(place, "metric", titles), _SUMMARY)


def _by_size(layers: pa.Table) -> dict[str, Any]:
    """Layer by layer, or summed up by octaves of their size where they are too many."""
    if layers.num_rows <= _MOST_LISTED:
        return table_data("Layers", layers, _LAYER)
    sizes, entropy = floats(layers, "num_filters"), floats(layers, "variance_entropy")
    broken = layers.column("degenerate").is_valid().to_numpy()
    octave = np.floor(np.log2(sizes)).astype(int)
    rows = []
    for each in np.unique(octave):
        here = octave == each
        low, middle, high = np.nanquantile(entropy[here], (0.05, 0.5, 0.95))
        sums = {"filters": int(2**each), "layers": int(here.sum()), "degenerate": int(broken[here].sum())}
        rows.append({**sums, "q05": low, "median": middle, "q95": high})
    return table_data("Layers by size", pa.Table.from_pylist(rows), _SIZE)


def _degenerate(report: ReportResult, cards: Cards) -> Markup:
    quality = report.quality
    (numbers,) = quality.whole.degenerate.to_pylist()
    said = ", ".join(f"{numbers[shown.column]:,} {shown.title}" for shown in _KINDS[2:])
    few = int(pc.sum(quality.layers.column("few_filters")).as_py() or 0)
    about = (
        "Layers that look untrained (entropy within 0.02 of that of random filters), that collapsed (entropy under 0.5 "
        f"with 14 % or more sparse filters), or hold only zeros: {said}."
    )
    if few:
        about += f" {count(few, 'layer')} of fewer than 10 filters: entropy says little about them."
    title, found = "Degenerate layers", quality.degenerate
    table = cards.open_table(table_data(title, found, _LAYER)) if found.num_rows else None
    return cards.card(title, about, table, command="quality")
