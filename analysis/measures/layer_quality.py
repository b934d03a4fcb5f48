"""The quality of every layer of a selection as one table.

Nothing is read but the tables ``models`` and ``layers``: extraction has measured each layer (DESIGN §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.types import Float64
from analysis.measures.degenerate import degeneracies, random_thresholds
from analysis.measures.untrained_distance import distance_from_untrained, untrained_threshold
from analysis.selection.grouping import Grouping, group_layers
from distributed.records import GRAM_LENGTH

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
    "distance_from_untrained": "distance from untrained",
}

#: Below this many filters a layer's nine variances cannot all be other than 0, and T(n) is an extrapolation.
FEW_FILTERS = 10

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


def layer_quality(flat: pa.Table) -> pa.Table:
    """One row per layer of a flat view (``analysis.selection.view.flat_view``), in its order, that is by ``layer_id``.

    Columns: ``layer_id``, ``model_id``, ``model`` (its name, unique), ``layer`` (parameter name), ``layer_index``,
    ``depth`` (decile), the layer's shape and depth as stored, ``num_filters``, ``few_filters`` (n < 10), the metrics
    of ``METRICS``, ``random_threshold`` (T(n)), ``untrained_threshold`` (up to which the distance from untrained is
    noise) and ``degenerate`` (``random``, ``collapsed``, ``all zero``, or null).
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
        "model": _names_on(flat, "model"),
        "layer": flat.column("layer_name"),
        "layer_index": flat.column("layer_index"),
        "depth": _names_on(flat, "depth"),
        **{name: flat.column(name) for name in _STORED},
        "num_filters": pa.array(sizes),
        "few_filters": pa.array(sizes < FEW_FILTERS),
        **{name: pa.array(values, from_pandas=True) for name, values in measured.items()},
        "variance_entropy_clean_normalized": pa.array(normalised, from_pandas=True),
        "distance_from_untrained": pa.array(distance_from_untrained(sizes, _grams(flat)), from_pandas=True),
        "random_threshold": pa.array(thresholds),
        "untrained_threshold": pa.array(untrained_threshold(sizes)),
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
    return quality.append_column(name, _group_names(grouping, quality))


def degenerate_layers(quality: pa.Table) -> pa.Table:
    """The rows of a quality table that are degenerate, by kind, then model and place in it."""
    found = quality.filter(pc.is_valid(quality.column("degenerate")))
    return found.sort_by([("degenerate", "ascending"), ("model", "ascending"), ("layer_index", "ascending")])


def count_untrained(quality: pa.Table) -> int:
    """Layers of a quality table whose distance from untrained is within noise."""
    return int((floats(quality, "distance_from_untrained") <= floats(quality, "untrained_threshold")).sum())


def _names_on(flat: pa.Table, axis: str) -> pa.Array:
    return _group_names(group_layers(flat, axis), flat)


def _group_names(grouping: Grouping, table: pa.Table) -> pa.Array:
    """The name of the group of each row of a table with ``layer_id``, null where it has none."""
    codes = grouping.codes_of(table.column("layer_id").to_numpy())
    names = pa.array([group.name for group in grouping.groups], pa.string())
    return names.take(pa.array(codes, mask=codes < 0))


def _grams(flat: pa.Table) -> Float64:
    """(N, 45) lower halves of Σ f fᵀ of the scaled filters."""
    values: Float64 = flat.column("scaled_gram").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, GRAM_LENGTH)


def floats(table: pa.Table, column: str) -> Float64:
    """(N,) float64 of a numeric column, NaN where it is null."""
    values: Float64 = pc.cast(table.column(column), pa.float64()).to_numpy().astype(np.float64)
    return values
