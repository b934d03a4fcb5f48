"""The files of ``analysis.compare``: tables, JSON, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from analysis.compare.measure import PERCENTILE_METRICS, CompareResult
from analysis.compare.pictures import drawings
from analysis.measures.drift import DIVERGENCES
from analysis.measures.layer_quality import floats
from analysis.output.files import Outputs

#: So many nearest models are shown; the table has all.
NEAREST = 10


def write(result: CompareResult, folder: Path) -> list[Path]:
    """Write tables, JSON and pictures into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    with Outputs(folder, "compare") as outputs:
        settings = result.settings
        about = {
            "store": result.uri,
            "model": result.model.name,
            "model_id": result.model.model_id,
            "basis": result.model.sketch.basis.digest,
            "divergence": DIVERGENCES[settings.divergence].title,
            "weight": str(settings.weight),
            "where": settings.where or "",
            "notes": "\n".join(result.notes),
        }
        outputs.text("compare.json", comparison_json(result))
        outputs.table("groups", result.groups, about)
        outputs.table("nearest", result.nearest, about)
        outputs.table("layers", result.layers, about)
        outputs.pictures(drawings(result))
    return outputs.written


def comparison_json(result: CompareResult) -> str:
    """The whole comparison but the layers' own numbers, as JSON."""
    model, settings = result.model, result.settings
    content = {
        "model": {
            "name": model.name,
            "source": model.reference.source,
            "root": model.reference.root,
            "file": model.reference.entry,
            "revision": model.reference.revision,
            "model_id": model.model_id,
            "sha256": model.sha256,
            "layers": result.layers.num_rows,
            "filters": int(model.sketch.num_filters.sum()),
            "coefficients_outside_range": model.sketch.outside,
            "notes": list(model.notes),
        },
        "store": {"uri": result.uri, "models": result.extent.models, "layers": result.extent.layers},
        "where": settings.where,
        "basis": model.sketch.basis.digest,
        "divergence": settings.divergence,
        "weight": str(settings.weight),
        "interval": {
            "level": settings.level,
            "replicates": settings.replicates,
            "seed": settings.seed,
            "resampled": f"{settings.unit}s of the group; the compared model is fixed",
        },
        "notes": [*result.notes, *(note for axis in result.axes for note in axis.notes)],
        "axes": {axis.grouping.axis: axis.table(settings.min_models).to_pylist() for axis in result.axes},
        "nearest": result.nearest.slice(0, NEAREST).to_pylist(),
        "quality": _quality(result.layers),
        "degenerate": result.degenerate.select(["layer", "degenerate", "num_filters"]).to_pylist(),
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
