"""What a comparison of one model with a store gives, as tables in memory and as files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Int64
from analysis.compare.model import MeasuredModel
from analysis.compare.settings import CompareSettings
from analysis.measures.degenerate import Degeneracy
from analysis.measures.drift import DIVERGENCES
from analysis.measures.placement import Placement
from analysis.measures.quality import METRICS, degenerate_layers, floats
from analysis.output.files import Outputs
from analysis.pictures.eigenfilters import Caption
from analysis.pictures.placement import DriftBlock, DriftRow, MetricStrip, draw_drift_to_groups, draw_percentiles
from analysis.selection.grouping import Grouping
from analysis.wording import count, elide, one_line

#: Metrics given as percentiles of the store's layers, in the order of tables and pictures.
PERCENTILE_METRICS = (
    "variance_entropy_normalized",
    "variance_entropy_clean_normalized",
    "sparsity",
    "orthogonality",
    "norm_mean",
    "norm_std",
)

#: Longer names of the model lose their middle in titles.
TITLE_WIDTH = 40

#: So many nearest models are shown; the table has all.
NEAREST = 10


@dataclass(frozen=True, slots=True, eq=False)
class AxisPlacement:
    """One axis.

    Attributes:
        grouping: its groups, without the model itself.
        placement: where the model sits among them.
        own_filters: (G,) filters of the model that were compared with each group.
        by_layer: whether only those of its layers were compared that would be in the group.
        notes: what was left out.
    """

    grouping: Grouping
    placement: Placement
    own_filters: Int64
    by_layer: bool
    notes: tuple[str, ...]

    def table(self, min_models: int) -> pa.Table:
        """A row per group: ``axis, group, models, layers, filters, own_filters, drift, drift_lo, drift_hi,
        usual_drift, members_farther, few_models``.

        ``usual_drift`` is the median drift between a model of the group and the rest of it, ``members_farther`` the
        share of its models that are farther from the rest than this one is; null for groups of fewer than two models.
        """
        groups, placed = self.grouping.groups, self.placement
        columns: dict[str, Any] = {
            "axis": pa.array([self.grouping.axis] * len(groups), pa.string()),
            "group": pa.array([group.name for group in groups], pa.string()),
            **{size: pa.array([getattr(g, size) for g in groups], pa.int64()) for size in _SIZES},
            "own_filters": pa.array(self.own_filters),
            "drift": pa.array(placed.drift, from_pandas=True),
            "drift_lo": pa.array(placed.low, from_pandas=True),
            "drift_hi": pa.array(placed.high, from_pandas=True),
            "usual_drift": pa.array(placed.usual, from_pandas=True),
            "members_farther": pa.array(placed.farther, from_pandas=True),
            "few_models": pa.array([group.models < min_models for group in groups]),
        }
        return pa.table(columns)


_SIZES = ("models", "layers", "filters")


@dataclass(frozen=True, slots=True, eq=False)
class CompareReport:
    """Everything one run of ``analysis.compare.measure`` found.

    Attributes:
        model: the model, measured on the store's basis.
        axes: one per axis, in the order asked.
        nearest: all other models, the nearest first.
        layers: the quality of the model's layers (``analysis.measures.quality``) with percentiles among the store's.
        store_models: models it was compared with; so ``store_layers``.
        settings: how.
        uri: of the store.
        notes: what to beware of.
        origin: where the store's sketch came from, one line.
    """

    model: MeasuredModel
    axes: tuple[AxisPlacement, ...]
    nearest: pa.Table
    layers: pa.Table
    store_models: int
    store_layers: int
    settings: CompareSettings
    uri: str
    notes: tuple[str, ...]
    origin: str

    @property
    def degenerate(self) -> pa.Table:
        """The rows of ``layers`` that are degenerate."""
        return degenerate_layers(self.layers)

    @property
    def groups(self) -> pa.Table:
        """``AxisPlacement.table`` of all axes."""
        return pa.concat_tables([axis.table(self.settings.min_models) for axis in self.axes])

    @property
    def extent(self) -> str:
        """How large the model is, for people."""
        filters = int(self.model.sketch.num_filters.sum())
        return f"{count(self.layers.num_rows, 'layer')}, {count(filters, 'filter')}"


def write_comparison(report: CompareReport, folder: Path) -> str:
    """Write tables, JSON and pictures into ``folder``; returns the line that says where.

    Raises:
        UserError: the disk refuses.
    """
    outputs = Outputs(folder)
    settings = report.settings
    about = {
        "store": report.uri,
        "model": report.model.name,
        "model_id": report.model.model_id,
        "basis": report.model.sketch.basis.digest,
        "divergence": DIVERGENCES[settings.divergence].title,
        "weight": str(settings.weight),
        "where": settings.where or "",
        "notes": "\n".join(report.notes),
    }
    outputs.text("compare.json", comparison_json(report))
    outputs.table("groups", report.groups, about)
    outputs.table("nearest", report.nearest, about)
    outputs.table("layers", report.layers, about)
    name = elide(one_line(report.model.name), TITLE_WIDTH)
    title = f"Drift of {name} to groups of the store"
    outputs.picture("groups", _draw_groups(report, title), title)
    title = f"Layers of {name} among the store's"
    outputs.picture("layers", _draw_layers(report, title), title)
    return outputs.line()


def comparison_json(report: CompareReport) -> str:
    """The whole comparison but the layers' own numbers, as JSON."""
    model, settings = report.model, report.settings
    content = {
        "model": {
            "name": model.name,
            "source": model.reference.source,
            "root": model.reference.root,
            "file": model.reference.entry,
            "revision": model.reference.revision,
            "model_id": model.model_id,
            "sha256": model.sha256,
            "layers": report.layers.num_rows,
            "filters": int(model.sketch.num_filters.sum()),
            "coefficients_outside_range": model.sketch.outside,
            "notes": list(model.notes),
        },
        "store": {"uri": report.uri, "models": report.store_models, "layers": report.store_layers},
        "where": settings.where,
        "basis": model.sketch.basis.digest,
        "divergence": settings.divergence,
        "weight": str(settings.weight),
        "interval": {
            "level": settings.level,
            "replicates": settings.replicates,
            "seed": settings.seed,
            "resampled": "models of the group; the compared model is fixed",
        },
        "notes": [*report.notes, *(note for axis in report.axes for note in axis.notes)],
        "axes": {axis.grouping.axis: axis.table(settings.min_models).to_pylist() for axis in report.axes},
        "nearest": report.nearest.slice(0, NEAREST).to_pylist(),
        "quality": _quality(report.layers),
        "degenerate": report.degenerate.select(["layer", "degenerate", "num_filters"]).to_pylist(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _quality(layers: pa.Table) -> Mapping[str, Mapping[str, float | None]]:
    """Median over the model's layers of each metric and of its percentile."""
    return {
        metric: {"median": median_of(layers, metric), "median_percentile": median_of(layers, f"{metric}_percentile")}
        for metric in PERCENTILE_METRICS
    }


def median_of(table: pa.Table, column: str) -> float | None:
    """The median of what is there; None where nothing is."""
    values = floats(table, column)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def _draw_groups(report: CompareReport, title: str) -> Any:
    blocks = []
    for axis in report.axes:
        rows = []
        for row in axis.table(report.settings.min_models).to_pylist():
            values = (row["drift"], row["drift_lo"], row["drift_hi"], row["usual_drift"])
            drift, low, high, usual = (math.nan if value is None else value for value in values)
            label = f"{one_line(row['group'])} ({row['models']})"
            rows.append(DriftRow(label, drift, low, high, usual, row["few_models"]))
        blocks.append(DriftBlock(_heading(axis), rows, "layers" if axis.by_layer else "models"))
    settings = report.settings
    remarks = [
        f"{report.extent} · against {count(report.store_models, 'model')} of the store · {settings.weight} weigh alike",
        *([f"where {settings.where}"] if settings.where else []),
        *report.notes,
        *(note for axis in report.axes for note in axis.notes),
    ]
    unit = f"drift D ({DIVERGENCES[settings.divergence].title})"
    interval = settings.level if settings.replicates else None
    return draw_drift_to_groups(blocks, Caption(title, tuple(remarks)), unit, interval)


def _heading(axis: AxisPlacement) -> str:
    return f"{axis.grouping.axis}: like layers with like" if axis.by_layer else axis.grouping.axis


def _draw_layers(report: CompareReport, title: str) -> Any:
    layers = report.layers
    strips = [MetricStrip(METRICS[m], floats(layers, f"{m}_percentile"), floats(layers, m)) for m in PERCENTILE_METRICS]
    kinds = [None if kind is None else Degeneracy(kind) for kind in layers.column("degenerate").to_pylist()]
    remarks = (
        f"{report.extent} · percentiles among {count(report.store_layers, 'layer')} of "
        f"{count(report.store_models, 'model')} of the store",
        *report.notes,
    )
    return draw_percentiles(floats(layers, "conv_depth_norm"), kinds, strips, Caption(title, remarks))
