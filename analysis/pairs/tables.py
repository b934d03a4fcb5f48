"""Paired models as two tables: a row per pair and bin, and a row per bin and measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float64
from analysis.measures.adjusting import adjusted
from analysis.measures.layer_quality import METRICS
from analysis.measures.sign_flips import SwapPlan
from analysis.pairs.measure import PairsResult

#: The share of false discoveries tolerated among what is called more than chance.
FALSE_DISCOVERIES = 0.05


def stands_out(row: Mapping[str, Any]) -> bool:
    """Whether a row of ``bins_table`` is more than chance: by its q-value, of all layers by its p-value."""
    value = row["p_value"] if row["q_value"] is None else row["q_value"]
    return value is not None and bool(value <= FALSE_DISCOVERIES)


def pairs_table(result: PairsResult) -> pa.Table:
    """A row per pair and bin: ``pair`` (number), ``a, b`` (names), ``model_id_a, model_id_b, label, cluster, bin,
    filters_a, filters_b, drift``, and of each metric ``<metric>_a, <metric>_b, <metric>_difference`` (b minus a).
    """
    pairs, bins = result.listing.pairs, len(result.bins)
    rows = np.repeat(np.arange(len(pairs)), bins)

    def of_pairs(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pa.array(rows))

    def of_bins(values: list[Float64]) -> pa.Array:
        return pa.array(np.stack(values, axis=1).ravel(), from_pandas=True)

    text = pa.string()
    columns: dict[str, Any] = {
        "pair": pa.array(rows + 1),
        "a": of_pairs([result.labels[pair.a] for pair in pairs], text),
        "b": of_pairs([result.labels[pair.b] for pair in pairs], text),
        "model_id_a": of_pairs([pair.a for pair in pairs], text),
        "model_id_b": of_pairs([pair.b for pair in pairs], text),
        "label": of_pairs([pair.label for pair in pairs], text),
        "cluster": pa.array(result.paired.clusters[rows] + 1),
        "bin": pa.array([each.name for each in result.bins] * len(pairs), text),
        "filters_a": of_bins([each.filters[0] for each in result.bins]),
        "filters_b": of_bins([each.filters[1] for each in result.bins]),
        "drift": of_bins([each.drift.of_pairs for each in result.bins]),
    }
    for metric in METRICS:
        found = [each.metrics[metric] for each in result.bins]
        columns[f"{metric}_a"] = of_bins([each.values[0] for each in found])
        columns[f"{metric}_b"] = of_bins([each.values[1] for each in found])
        columns[f"{metric}_difference"] = of_bins([each.of_pairs for each in found])
    return pa.table(columns)


def bins_table(result: PairsResult) -> pa.Table:
    """A row per bin and measure (``drift`` and each metric): ``bin, measure, pairs, clusters`` (that have it), ``a, b``
    (means of the sides, pooled over layers), ``pooled`` (D of the pooled sides; of a metric b minus a),
    ``mean_of_pairs``, then of a drift for ``pooled``, of a metric for ``mean_of_pairs``: ``null_high`` (95 % of swaps
    stay below in size), ``p_value``, ``q_value``, ``exact`` (whether all swaps were made).

    ``q_value``: Benjamini–Hochberg over the bins of one measure, all layers apart; null there.
    """
    plan = SwapPlan(result.settings.flips, result.settings.seed)
    q_values = {
        measure: [np.nan, *adjusted(np.array([each.differences[measure].chance.p_value for each in result.bins[1:]]))]
        for measure in result.bins[0].differences
    }
    rows = []
    for place, each in enumerate(result.bins):
        for measure, found in each.differences.items():
            row = {
                "bin": each.name,
                "measure": measure,
                "pairs": found.pairs,
                "clusters": found.clusters,
                "a": float(found.sides[0]),
                "b": float(found.sides[1]),
                "pooled": found.together,
                "mean_of_pairs": found.mean,
                "null_high": found.chance.high,
                "p_value": found.chance.p_value,
                "q_value": float(q_values[measure][place]),
                "exact": plan.are_all(found.clusters),
            }
            rows.append({key: None if value != value else value for key, value in row.items()})
    integers, floats = ("pairs", "clusters"), ("a", "b", "pooled", "mean_of_pairs", "null_high", "p_value", "q_value")
    kinds = dict.fromkeys(integers, pa.int64()) | dict.fromkeys(floats, pa.float64()) | {"exact": pa.bool_()}
    return pa.Table.from_pylist(rows, pa.schema([(key, kinds.get(key, pa.string())) for key in rows[0]]))
