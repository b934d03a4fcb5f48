"""The quality of every layer of a selection as one table, and its weighted summaries by group.

Nothing is read but the tables ``models`` and ``layers``: extraction has measured each layer (DESIGN §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.types import Float64, Int64
from analysis.measures.degenerate import Degeneracy, degeneracies, random_thresholds
from analysis.selection.grouping import Grouping, group_layers

#: Columns of the quality table that are summarised, with what people call them.
METRICS: Mapping[str, str] = {
    "sparsity": "sparsity",
    "variance_entropy": "variance entropy",
    "variance_entropy_normalized": "variance entropy / T(n)",
    "variance_entropy_clean": "clean variance entropy",
    "variance_entropy_clean_normalized": "clean variance entropy / T(n clean)",
    "orthogonality": "orthogonality",
    "norm_mean": "mean filter norm",
    "norm_std": "deviation of filter norms",
    "max_abs": "largest weight",
}

#: Below this many filters a layer's nine variances cannot all be other than 0, and T(n) is an extrapolation.
FEW_FILTERS = 10

#: The quantiles of a summary, by column.
QUANTILES: Mapping[str, float] = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}

_STORED = (
    "conv_depth",
    "conv_depth_norm",
    "depth_method",
    "out_channels",
    "in_channels",
    "groups",
    "is_depthwise",
)
_MEASURED = (
    "sparsity",
    "variance_entropy",
    "variance_entropy_normalized",
    "variance_entropy_clean",
    "orthogonality",
    "norm_mean",
    "norm_std",
    "max_abs",
)


class Weighting(StrEnum):
    """What counts as one observation in a summary.

    ``layers``: each layer counts 1. ``filters``: each layer counts as many as it has filters. ``models``: each model
    counts 1 in every group it has layers in, shared equally by those of its layers there that have the value.
    """

    layers = "layers"
    filters = "filters"
    models = "models"


def layer_quality(flat: pa.Table) -> pa.Table:
    """One row per layer of a flat view (``analysis.selection.conditions.flat_view``), in its order, that is by ``layer_id``.

    Columns: ``layer_id``, ``model_id``, ``model`` (its name, unique), ``layer`` (parameter name), ``layer_index``,
    ``depth`` (decile), the layer's shape and depth as stored, ``num_filters``, ``few_filters`` (n < 10), the metrics
    of ``METRICS``, ``random_threshold`` (T(n)) and ``degenerate`` (``random``, ``collapsed``, ``all zero``, or null).
    """
    layers = pc.cast(flat.column("layer_id"), pa.int64()).combine_chunks()
    sizes = floats(flat, "layer_num_filters").astype(np.int64)
    measured = {name: floats(flat, name) for name in _MEASURED}
    thresholds = random_thresholds(sizes)
    clean = sizes - np.rint(measured["sparsity"] * sizes).astype(np.int64)
    clean_thresholds = random_thresholds(np.maximum(clean, 1))
    normalised = np.full(len(sizes), np.nan)
    np.divide(measured["variance_entropy_clean"], clean_thresholds, out=normalised, where=clean_thresholds > 0)
    kinds = degeneracies(measured["variance_entropy"], measured["sparsity"], thresholds, measured["max_abs"])
    columns: dict[str, Any] = {
        "layer_id": layers,
        "model_id": flat.column("model_id"),
        "model": names_on(flat, "model"),
        "layer": flat.column("layer_name"),
        "layer_index": flat.column("layer_index"),
        "depth": names_on(flat, "depth"),
        **{name: flat.column(name) for name in _STORED},
        "num_filters": pa.array(sizes),
        "few_filters": pa.array(sizes < FEW_FILTERS),
        **{name: pa.array(values, from_pandas=True) for name, values in measured.items()},
        "variance_entropy_clean_normalized": pa.array(normalised, from_pandas=True),
        "random_threshold": pa.array(thresholds),
        "degenerate": pa.array(kinds, pa.string()),
    }
    return pa.table(columns)


def with_group(quality: pa.Table, grouping: Grouping) -> pa.Table:
    """The quality table with the name of each layer's group in a column named like the axis.

    ``depth`` and ``model`` are there already; where the name is taken by another column, it becomes ``axis_<name>``.
    """
    axis = grouping.axis
    if axis in ("depth", "model", "model_id", "layer_id"):
        return quality
    name = f"axis_{axis}" if axis in quality.column_names else axis
    return quality.append_column(name, group_names(grouping, quality.column("layer_id").to_numpy()))


def names_on(flat: pa.Table, axis: str) -> pa.Array:
    """The name of each layer's group on ``axis``, null where it has none."""
    grouping = group_layers(flat, axis, max_groups=flat.num_rows)
    return group_names(grouping, flat.column("layer_id").to_numpy())


def group_names(grouping: Grouping, layer_ids: Int64) -> pa.Array:
    """The name of each layer's group, null where it has none."""
    codes = codes_of(grouping, layer_ids)
    names = pa.array([group.name for group in grouping.groups], pa.string())
    return names.take(pa.array(codes, mask=codes < 0))


def codes_of(grouping: Grouping, layer_ids: Int64) -> Int64:
    """(N,) the number of each layer's group, -1 where it has none."""
    order = np.argsort(grouping.layer_ids, kind="stable")
    at = np.searchsorted(grouping.layer_ids, layer_ids, sorter=order)
    at = order[np.minimum(at, len(order) - 1)]
    return np.where(grouping.layer_ids[at] == layer_ids, grouping.codes[at], -1)


def floats(table: pa.Table, column: str) -> Float64:
    """(N,) float64 of a numeric column, NaN where it is null."""
    values: Float64 = pc.cast(table.column(column), pa.float64()).to_numpy().astype(np.float64)
    return values


@dataclass(frozen=True, slots=True, eq=False)
class WeightedSummary:
    """A weighted distribution in eight numbers; all NaN where there was no value.

    A quantile is the smallest value at which the weight of all values up to it reaches that share of the total
    (the inverse of the distribution function; ``numpy.quantile(method="inverted_cdf", weights=…)``): always a value
    that some layer has.
    """

    mean: float
    minimum: float
    maximum: float
    quantiles: Mapping[str, float]


def weighted_summary(values: Float64, weights: Float64) -> WeightedSummary:
    """Summary of (N,) finite values with (N,) positive weights."""
    if not len(values):
        nothing = float("nan")
        return WeightedSummary(nothing, nothing, nothing, dict.fromkeys(QUANTILES, nothing))
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    reached = np.cumsum(weights[order])
    # Ten layers of a tenth each sum to 0.9999999999999999: less than the last digits must not move a quantile.
    asked = np.array(list(QUANTILES.values())) * reached[-1] * (1 - 1e-12)
    at = np.minimum(np.searchsorted(reached, asked, side="left"), len(ordered) - 1)
    quantiles = {name: float(ordered[index]) for name, index in zip(QUANTILES, at, strict=True)}
    mean = float(np.average(values, weights=weights))
    # Rounding must not put a mean of equal values outside their range.
    mean = min(max(mean, float(ordered[0])), float(ordered[-1]))
    return WeightedSummary(mean, float(ordered[0]), float(ordered[-1]), quantiles)


def layer_weights(weighting: Weighting, models: Int64, sizes: Int64) -> Float64:
    """(N,) weight of each of the layers of one group; ``models`` and ``sizes`` are their models and filters."""
    if weighting is Weighting.layers:
        return np.ones(len(models))
    if weighting is Weighting.filters:
        return sizes.astype(np.float64)
    _, inverse, often = np.unique(models, return_inverse=True, return_counts=True)
    return 1.0 / often[inverse]


def summarise(quality: pa.Table, grouping: Grouping, weighting: Weighting) -> pa.Table:
    """One row per group and metric: ``axis, group, label, models, layers, filters, metric, layers_measured, weight``
    (by what), ``mean, minimum, q05, q25, median, q75, q95, maximum``.

    ``layers_measured`` counts the layers where the metric is defined; without any, the numbers are null.
    """
    rows: list[dict[str, Any]] = []
    parts = members_of(quality, grouping)
    values = {metric: floats(quality, metric) for metric in METRICS}
    models, sizes = _model_numbers(quality), floats(quality, "num_filters").astype(np.int64)
    for group, members in zip(grouping.groups, parts, strict=True):
        for metric, column in values.items():
            here = members[np.isfinite(column[members])]
            summary = weighted_summary(column[here], layer_weights(weighting, models[here], sizes[here]))
            rows.append(
                {
                    **_heading(grouping.axis, group.name, group.label, group.models, group.layers, group.filters),
                    "metric": metric,
                    "layers_measured": len(here),
                    "weight": str(weighting),
                    "mean": summary.mean,
                    "minimum": summary.minimum,
                    **summary.quantiles,
                    "maximum": summary.maximum,
                }
            )
    return _without_nan(pa.Table.from_pylist(rows))


def count_degenerate(quality: pa.Table, grouping: Grouping, weighting: Weighting) -> pa.Table:
    """One row per group: ``axis, group, label, models, layers, filters``, then for each kind of ``Degeneracy`` how
    many layers are (``random_layers`` …) and their weighted share (``random_share`` …).
    """
    kinds = quality.column("degenerate").to_pylist()
    which = {kind: np.array([k == kind.value for k in kinds], dtype=np.float64) for kind in Degeneracy}
    models, sizes = _model_numbers(quality), floats(quality, "num_filters").astype(np.int64)
    rows: list[dict[str, Any]] = []
    for group, members in zip(grouping.groups, members_of(quality, grouping), strict=True):
        weights = layer_weights(weighting, models[members], sizes[members])
        row = _heading(grouping.axis, group.name, group.label, group.models, group.layers, group.filters)
        for kind, mask in which.items():
            column = kind.value.replace(" ", "_")
            row[f"{column}_layers"] = int(mask[members].sum())
            row[f"{column}_share"] = float(weights @ mask[members] / weights.sum())
        rows.append({**row, "weight": str(weighting)})
    return pa.Table.from_pylist(rows)


def degenerate_layers(quality: pa.Table) -> pa.Table:
    """The rows of a quality table that are degenerate, by kind, then model and place in it."""
    found = quality.filter(pc.is_valid(quality.column("degenerate")))
    return found.sort_by([("degenerate", "ascending"), ("model", "ascending"), ("layer_index", "ascending")])


def _heading(axis: str, group: str, label: str, models: int, layers: int, filters: int) -> dict[str, Any]:
    return {"axis": axis, "group": group, "label": label, "models": models, "layers": layers, "filters": filters}


def members_of(quality: pa.Table, grouping: Grouping) -> list[Int64]:
    """The rows of the quality table in each group."""
    codes = codes_of(grouping, quality.column("layer_id").to_numpy())
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(grouping.groups) + 1))
    return [order[starts[g] : starts[g + 1]] for g in range(len(grouping.groups))]


def _model_numbers(quality: pa.Table) -> Int64:
    encoded = pc.dictionary_encode(quality.column("model_id").combine_chunks())
    numbers: Int64 = encoded.indices.to_numpy().astype(np.int64)
    return numbers


def _without_nan(table: pa.Table) -> pa.Table:
    """NaN becomes null in every float column: a number that does not exist is not a number for any reader."""
    for index, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table.column(index)
            table = table.set_column(
                index, field.name, pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
            )
    return table
