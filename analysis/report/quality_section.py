"""The quality of layers as data for the page: boxes by group, entropy against size, trends over depth, degenerates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from analysis.measures.degenerate import COLLAPSED_SPARSITY, RANDOM_MARGIN, Degeneracy, random_thresholds
from analysis.measures.layer_quality import METRICS, floats
from analysis.measures.summaries import weighted_summary
from analysis.quality.measure import GroupedQuality
from analysis.report.encoding import numbers, packed, words
from analysis.report.measure import ReportResult
from analysis.selection.axes import DEPTH_NAMES
from analysis.wording import one_line

#: Metrics in the page: column → whether a logarithmic scale suits it.
SHOWN = {
    "variance_entropy_normalized": False,
    "sparsity": False,
    "orthogonality": False,
    "norm_mean": True,
}

#: Up to so many layers each is a dot; more are counted in the bins of a grid.
MOST_DOTS = 4000
_GRID = (72, 60)  # bins over log2 n and over entropy

_STATISTICS = ("q05", "q25", "median", "q75", "q95", "mean")


def quality_section(report: ReportResult) -> dict[str, Any]:
    """See the module."""
    quality = report.quality
    group = quality.whole.grouping.groups[0]
    summaries = quality.whole.summaries(group.name)
    return {
        "weight": str(quality.weight),
        "metrics": [
            {"key": key, "title": METRICS[key], "log": log, "line": _line(key), **_statistics(summaries[key])}
            for key, log in SHOWN.items()
        ],
        "axes": [_axis(grouped) for grouped in quality.axes],
        "size": _entropy_by_size(quality.layers),
        "depth": _by_depth(quality.layers),
        "degenerate": _degenerate(quality.degenerate),
        "kinds": {
            kind.value: quality.whole.degenerate.to_pylist()[0][f"{kind.value.replace(' ', '_')}_layers"]
            for kind in Degeneracy
        },
    }


def _line(metric: str) -> dict[str, Any] | None:
    if metric == "variance_entropy_normalized":
        return {"at": 1.0, "name": "random threshold T(n)"}
    return (
        {"at": COLLAPSED_SPARSITY, "name": "0.14, of the rule for collapsed layers"} if metric == "sparsity" else None
    )


def _statistics(row: dict[str, Any] | Any) -> dict[str, float | None]:
    return dict(zip(_STATISTICS, numbers([row[name] for name in _STATISTICS], 5), strict=True))


def _axis(grouped: GroupedQuality) -> dict[str, Any]:
    by_metric: dict[str, dict[str, list[Any]]] = {key: {name: [] for name in _STATISTICS} for key in SHOWN}
    for row in grouped.summary.to_pylist():
        if row["metric"] in SHOWN:
            for name, value in _statistics(row).items():
                by_metric[row["metric"]][name].append(value)
    kinds = grouped.degenerate.to_pylist()
    groups = grouped.grouping.groups
    return {
        "axis": one_line(grouped.grouping.axis),
        "names": [one_line(each.name) for each in groups],
        "models": [each.models for each in groups],
        "layers": [each.layers for each in groups],
        "metrics": by_metric,
        "degenerate": {
            kind.value: [row[f"{kind.value.replace(' ', '_')}_layers"] for row in kinds] for kind in Degeneracy
        },
    }


def _entropy_by_size(layers: pa.Table) -> dict[str, Any]:
    """Dots, or counts in a grid where the dots would be too many; and the curve T(n)."""
    size, entropy = np.log2(floats(layers, "num_filters")), floats(layers, "variance_entropy")
    top = max(4.0, float(size.max()) + 0.5)
    n = np.unique(np.geomspace(3, 2**top, 160).astype(np.int64))
    found: dict[str, Any] = {
        "layers": layers.num_rows,
        "curve": {"x": numbers(np.log2(n)), "y": numbers(random_thresholds(n))},
        "margin": RANDOM_MARGIN,
    }
    if layers.num_rows <= MOST_DOTS:
        found["dots"] = {
            "x": packed(size),
            "y": packed(entropy),
            "kind": words(layers.column("degenerate").to_pylist()),
            "model": words(layers.column("model").to_pylist()),
            "layer": words(layers.column("layer").to_pylist()),
            "filters": layers.column("num_filters").to_pylist(),
        }
        return found
    counts, x, y = np.histogram2d(size, entropy, bins=_GRID, range=((0.0, top), (0.0, 1.0)))
    broken = np.array([kind is not None for kind in layers.column("degenerate").to_pylist()])
    which, _, _ = np.histogram2d(size[broken], entropy[broken], bins=(x, y))
    found["grid"] = {
        "x": numbers((x[1:] + x[:-1]) / 2),
        "y": numbers((y[1:] + y[:-1]) / 2),
        "counts": counts.T.astype(int).tolist(),
        "degenerate": which.T.astype(int).tolist(),
    }
    return found


def _by_depth(layers: pa.Table) -> dict[str, Any]:
    """Boxes of each metric by decile of depth; layers count the same."""
    decile = layers.column("depth").to_pylist()
    of_decile = [np.array([d == name for d in decile]) for name in DEPTH_NAMES]
    present = [index for index, members in enumerate(of_decile) if members.any()]
    metrics: dict[str, dict[str, list[Any]]] = {}
    for key in SHOWN:
        column = floats(layers, key)
        rows = []
        for index in present:
            values = column[of_decile[index] & np.isfinite(column)]
            summary = weighted_summary(values, np.ones(len(values)))
            rows.append(_statistics({**summary.quantiles, "mean": summary.mean}))
        metrics[key] = {name: [row[name] for row in rows] for name in _STATISTICS}
    return {
        "names": [DEPTH_NAMES[index] for index in present],
        "layers": [int(of_decile[index].sum()) for index in present],
        "metrics": metrics,
    }


def _degenerate(found: pa.Table) -> dict[str, Any]:
    return {
        "rows": found.num_rows,
        "kind": words(found.column("degenerate").to_pylist()),
        "model": words(found.column("model").to_pylist()),
        "layer": words(found.column("layer").to_pylist()),
        **{
            name: numbers(found.column(name).to_pylist(), 4)
            for name in ("num_filters", "variance_entropy", "random_threshold", "sparsity", "conv_depth_norm")
        },
    }
