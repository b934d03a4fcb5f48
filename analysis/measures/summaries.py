"""The quality of layers by group: weighted summaries of every metric, and how many layers are degenerate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.types import Float64, Int64
from analysis.measures.degenerate import Degeneracy
from analysis.measures.layer_quality import METRICS, floats
from analysis.selection.grouping import Group, Grouping
from analysis.settings import LayerWeight

#: The quantiles of a summary, by column.
QUANTILES: Mapping[str, float] = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


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
    # Ten layers of a tenth each sum to 0.9999999999999999: less than the last digits must not move a quantile.
    shares = np.array(list(QUANTILES.values())) * (1 - 1e-12)
    found = np.quantile(values, shares, method="inverted_cdf", weights=weights)
    low, high = float(values.min()), float(values.max())
    # Rounding must not put a mean of equal values outside their range.
    mean = min(max(float(np.average(values, weights=weights)), low), high)
    return WeightedSummary(mean, low, high, dict(zip(QUANTILES, found.tolist(), strict=True)))


def layer_weights(weight: LayerWeight, models: Int64, sizes: Float64) -> Float64:
    """(N,) weight of each layer of one group; ``models`` and ``sizes`` are their models, and what is in them."""
    if weight == LayerWeight.layers:
        return np.ones(len(models))
    if weight in (LayerWeight.filters, LayerWeight.measured):
        return sizes
    _, inverse, often = np.unique(models, return_inverse=True, return_counts=True)
    return 1.0 / often[inverse]


def sizes_of(quality: pa.Table, metric: str, weight: LayerWeight) -> Float64:
    """(N,) how much a metric is measured of in each layer: its filters, if nothing else is asked for."""
    filters = floats(quality, "num_filters")
    if weight == LayerWeight.measured and metric == "orthogonality":
        return floats(quality, "out_channels")
    if weight == LayerWeight.measured and metric.startswith("variance_entropy_clean"):
        return filters - np.rint(floats(quality, "sparsity") * filters)
    return filters


def summarise(quality: pa.Table, grouping: Grouping, weight: LayerWeight) -> pa.Table:
    """One row per group and metric: ``axis, group, label, models, layers, filters, metric, layers_measured, weight``
    (by what), ``mean, minimum, q05, q25, median, q75, q95, maximum``.

    ``layers_measured`` counts the layers where the metric is defined; without any, the numbers are null.
    """
    rows: list[dict[str, Any]] = []
    parts = members_of(quality, grouping)
    values = {metric: floats(quality, metric) for metric in METRICS}
    measured = {metric: sizes_of(quality, metric, weight) for metric in METRICS}
    models = _model_numbers(quality)
    for group, members in zip(grouping.groups, parts, strict=True):
        for metric, column in values.items():
            sizes = measured[metric]
            here = members[np.isfinite(column[members])]
            summary = weighted_summary(column[here], layer_weights(weight, models[here], sizes[here]))
            rows.append(
                {
                    **_heading(grouping.axis, group),
                    "metric": metric,
                    "layers_measured": len(here),
                    "weight": str(weight),
                    "mean": summary.mean,
                    "minimum": summary.minimum,
                    **summary.quantiles,
                    "maximum": summary.maximum,
                }
            )
    return _without_nan(pa.Table.from_pylist(rows))


def count_degenerate(quality: pa.Table, grouping: Grouping, weight: LayerWeight) -> pa.Table:
    """One row per group: ``axis, group, label, models, layers, filters``, then for each kind of ``Degeneracy`` how
    many layers are (``random_layers`` …) and their weighted share (``random_share`` …).
    """
    kinds = quality.column("degenerate").to_pylist()
    which = {kind: np.array([k == kind.value for k in kinds], dtype=np.float64) for kind in Degeneracy}
    models, sizes = _model_numbers(quality), floats(quality, "num_filters")
    # Degeneracy is a layer's, whatever else is measured of its filters and channels.
    counted = LayerWeight.layers if weight == LayerWeight.measured else weight
    rows: list[dict[str, Any]] = []
    for group, members in zip(grouping.groups, members_of(quality, grouping), strict=True):
        weights = layer_weights(counted, models[members], sizes[members])
        row = _heading(grouping.axis, group)
        for kind, mask in which.items():
            column = kind.value.replace(" ", "_")
            row[f"{column}_layers"] = int(mask[members].sum())
            row[f"{column}_share"] = float(weights @ mask[members] / weights.sum())
        rows.append({**row, "weight": str(counted)})
    return pa.Table.from_pylist(rows)


def _heading(axis: str, group: Group) -> dict[str, Any]:
    sizes = {"models": group.models, "layers": group.layers, "filters": group.filters}
    return {"axis": axis, "group": group.name, "label": group.label, **sizes}


def members_of(quality: pa.Table, grouping: Grouping) -> list[Int64]:
    """The rows of the quality table in each group."""
    codes = grouping.codes_of(quality.column("layer_id").to_numpy())
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
