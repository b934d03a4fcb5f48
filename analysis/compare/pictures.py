"""The pictures of ``analysis.compare``: drift to groups, and the model's layers among the store's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from analysis.compare.measure import PERCENTILE_METRICS, AxisPlacement, CompareResult
from analysis.measures.degenerate import Degeneracy
from analysis.measures.drift import DIVERGENCES
from analysis.measures.layer_quality import METRICS, floats
from analysis.pictures.canvas import Caption, Drawing
from analysis.pictures.placement import DriftBlock, DriftRow, MetricStrip, draw_drift_to_groups, draw_percentiles
from analysis.wording import count, elide, one_line

#: Longer names of the model lose their middle in titles.
TITLE_WIDTH = 40


def drawings(result: CompareResult) -> Iterator[Drawing]:
    """Groups, then layers."""
    name = elide(one_line(result.model.name), TITLE_WIDTH)
    title = f"Drift of {name} to groups of the store"
    yield Drawing("groups", title, partial(_draw_groups, result, title))
    title = f"Layers of {name} among the store's"
    yield Drawing("layers", title, partial(_draw_layers, result, title))


def _draw_groups(result: CompareResult, title: str) -> Figure:
    blocks = []
    for axis in result.axes:
        rows = []
        table = axis.table(result.settings.min_models).to_pylist()
        for row, name in zip(table, axis.grouping.names, strict=True):
            values = (row["drift"], row["drift_lo"], row["drift_hi"], row["usual_drift"])
            drift, low, high, usual = (math.nan if value is None else value for value in values)
            rows.append(DriftRow(f"{name} ({row['models']})", drift, low, high, usual, row["few_models"]))
        blocks.append(DriftBlock(_heading(axis), rows, "layers" if axis.by_layer else "models"))
    settings = result.settings
    remarks = [
        f"{result.size} · against {count(result.extent.models, 'model')} of the store · {settings.weight} weigh alike",
        *([f"where {settings.where}"] if settings.where else []),
        *result.notes,
        *(note for axis in result.axes for note in axis.notes),
    ]
    unit = f"drift D ({DIVERGENCES[settings.divergence].title})"
    interval = settings.level if settings.replicates else None
    return draw_drift_to_groups(blocks, Caption(title, tuple(remarks)), unit, interval)


def _heading(axis: AxisPlacement) -> str:
    return f"{axis.grouping.axis}: like layers with like" if axis.by_layer else axis.grouping.axis


def _draw_layers(result: CompareResult, title: str) -> Figure:
    layers = result.layers
    strips = [MetricStrip(METRICS[m], floats(layers, f"{m}_percentile"), floats(layers, m)) for m in PERCENTILE_METRICS]
    kinds = [None if kind is None else Degeneracy(kind) for kind in layers.column("degenerate").to_pylist()]
    remarks = (
        f"{result.size} · percentiles among {count(result.extent.layers, 'layer')} of "
        f"{count(result.extent.models, 'model')} of the store",
        *result.notes,
    )
    return draw_percentiles(floats(layers, "conv_depth_norm"), kinds, strips, Caption(title, remarks))
