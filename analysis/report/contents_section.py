"""What is in the store: how many models of which kind, and what was left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.report.encoding import numbers, words
from analysis.report.measure import ReportResult
from analysis.wording import one_line

#: Columns of ``models`` that are counted, with what people call them; one that is null everywhere is passed over.
COUNTED = {
    "task": "Task",
    "visual_category": "Visual category",
    "architecture": "Architecture",
    "family": "Family",
    "training_dataset": "Training data",
    "library": "Library",
    "license": "License",
    "format": "Format",
}

#: Columns of the table of models, with their titles.
_MODEL_WORDS = {
    "name": "Name",
    "task": "Task",
    "visual_category": "Visual category",
    "architecture": "Architecture",
    "family": "Family",
    "training_dataset": "Training data",
    "pretraining_dataset": "Pre-training data",
    "library": "Library",
    "license": "License",
    "format": "Format",
    "source": "Source",
    "uri": "Repository",
    "file": "File",
    "revision": "Revision",
    "paper": "Paper",
    "model_id": "Model id",
    "tool_version": "Extracted by",
}
_MODEL_NUMBERS = {
    "num_parameters": "Parameters",
    "num_filters": "3×3 filters",
    "num_layers_3x3": "3×3 layers",
    "share_3x3": "Share of 3×3",
    "bytes_total": "Bytes",
}


def contents_section(report: ReportResult) -> dict[str, Any]:
    """Totals, counts by kind, notes, and what was skipped or failed."""
    whole = report.quality.whole.grouping.groups[0]
    return {
        "totals": {"models": whole.models, "layers": whole.layers, "filters": whole.filters},
        "counts": counts_of(report.models),
        "rejects": [
            {
                "kind": "skipped" if str(found.kind) == "skips" else "failed",
                "name": one_line(found.reject.name),
                "place": one_line("/".join(p for p in (found.reject.uri, found.reject.file or "") if p)),
                "reason": one_line(found.reject.reason),
                "message": one_line(found.reject.message),
            }
            for found in report.rejects
        ],
        "left_out": [{"axis": one_line(axis), "reason": reason} for axis, reason in report.left_out.items()],
    }


def counts_of(models: pa.Table) -> list[dict[str, Any]]:
    """For each counted column with a value: its values by falling number of models, with their filters."""
    filters = models.column("num_filters").to_pylist()
    found = []
    for column, title in COUNTED.items():
        values = models.column(column).to_pylist()
        often = Counter(value for value in values if value is not None)
        if not often:
            continue
        held: Counter[str] = Counter()
        for value, number in zip(values, filters, strict=True):
            held[value] += number
        order = sorted(often, key=lambda value: (-often[value], value.casefold()))
        found.append(
            {
                "column": column,
                "title": title,
                "names": [one_line(value) for value in order],
                "models": [often[value] for value in order],
                "filters": [held[value] for value in order],
                "unknown": values.count(None),
            }
        )
    return found


def models_section(report: ReportResult) -> dict[str, Any]:
    """The table of models, column by column, with how many of each model's layers are degenerate."""
    models = report.models
    columns: list[dict[str, Any]] = []
    for column, title in _MODEL_WORDS.items():
        values = models.column(column).to_pylist()
        if any(value is not None for value in values):
            columns.append({"key": column, "title": title, **words(values)})
    for column, title in _MODEL_NUMBERS.items():
        columns.append({"key": column, "title": title, "numbers": numbers(models.column(column).to_pylist(), 4)})
    degenerate = Counter(report.quality.degenerate.column("model_id").to_pylist())
    ids = models.column("model_id").to_pylist()
    columns.append({"key": "degenerate", "title": "Degenerate layers", "numbers": [degenerate[i] for i in ids]})
    columns.append({"key": "depth_method", "title": "Depth known by", **words(_depth_methods(report, ids))})
    notes = ["; ".join(each) or None for each in models.column("notes").to_pylist()]
    if any(notes):
        columns.append({"key": "notes", "title": "Notes", **words(notes)})
    return {"rows": models.num_rows, "columns": columns}


def _depth_methods(report: ReportResult, ids: list[str]) -> list[str | None]:
    layers = report.selected
    keys = pc.dictionary_encode(layers.column("model_id").combine_chunks())
    first: dict[str, str] = {}
    methods = layers.column("depth_method")
    _, rows = np.unique(keys.indices.to_numpy(), return_index=True)
    for row in rows:
        first[layers.column("model_id")[int(row)].as_py()] = methods[int(row)].as_py()
    return [first.get(each) for each in ids]
