"""The files of ``analysis.quality``: tables, JSON, pictures."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.measures.degenerate import COLLAPSED_ENTROPY, COLLAPSED_SPARSITY, RANDOM_MARGIN
from analysis.measures.layer_quality import METRICS, count_untrained
from analysis.output.files import Outputs
from analysis.output.names import file_stem
from analysis.quality.measure import QualityResult
from analysis.quality.pictures import drawings


def write(result: QualityResult, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    with Outputs(folder, "quality") as outputs:
        about = {"store": result.uri, "where": result.where or "", "weight": str(result.weight)}
        outputs.text("quality.json", quality_json(result))
        outputs.table("layers", result.layers, about)
        outputs.table("degenerate", result.degenerate, about)
        for grouped in result.axes:
            stem = file_stem(grouped.grouping.axis)
            more = about | {"axis": grouped.grouping.axis, "notes": "\n".join(grouped.notes)}
            outputs.table(f"quality_{stem}", grouped.summary, more)
            outputs.table(f"degenerate_{stem}", grouped.degenerate, more)
        outputs.pictures(drawings(result))
    return outputs.written


def quality_json(result: QualityResult) -> str:
    """Summary of all layers together, and the rules and weights the tables rest on."""
    group = result.whole.grouping.groups[0]
    summaries = result.whole.summaries(group.name)
    statistics = ("layers_measured", "mean", "minimum", "q05", "q25", "median", "q75", "q95", "maximum")
    content = {
        "store": result.uri,
        "where": result.where,
        "weight": str(result.weight),
        "models": group.models,
        "layers": group.layers,
        "filters": group.filters,
        "metrics": {metric: {key: summaries[metric][key] for key in statistics} for metric in METRICS},
        "degenerate": {
            key: value
            for key, value in result.whole.degenerate.to_pylist()[0].items()
            if key.endswith(("_layers", "_share"))
        },
        "untrained_layers": count_untrained(result.layers),
        "rules": {
            "random": f"variance_entropy >= T(n) - {RANDOM_MARGIN}, n > 2",
            "collapsed": f"variance_entropy < {COLLAPSED_ENTROPY} and sparsity >= {COLLAPSED_SPARSITY}",
            "all zero": "max_abs = 0",
            "untrained": "distance_from_untrained <= untrained_threshold (analysis.measures.untrained_distance)",
        },
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
