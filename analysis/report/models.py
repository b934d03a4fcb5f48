"""The table of models, with all that is known about each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.report.cards import Cards, section
from analysis.report.markup import Markup
from analysis.report.measure import ReportResult
from analysis.report.tables import Shown, table_data

_COLUMNS = (
    Shown("name", "Name", 15),
    Shown("task", "Task", 9),
    Shown("visual_category", "Visual category", 9),
    Shown("architecture", "Architecture", 9),
    Shown("family", "Family", 8),
    Shown("training_dataset", "Training data", 9),
    Shown("num_parameters", "Parameters", 7, "whole"),
    Shown("num_filters", "3×3 filters", 7, "whole"),
    Shown("num_layers_3x3", "3×3 layers", 7, "whole"),
    Shown("degenerate", "Degenerate layers", 7, "whole"),
    Shown("library", "Library", 6),
    Shown("license", "License", 8),
    Shown("pretraining_dataset", "Pre-training data", aside=True),
    Shown("format", "Format", aside=True),
    Shown("source", "Source", aside=True),
    Shown("uri", "Repository", aside=True),
    Shown("file", "File", aside=True),
    Shown("revision", "Revision", aside=True),
    Shown("paper", "Paper", aside=True),
    Shown("model_id", "Model id", aside=True),
    Shown("tool_version", "Extracted by", aside=True),
    Shown("share_3x3", "Share of 3×3", show="percent", aside=True),
    Shown("bytes_total", "Bytes", show="whole", aside=True),
    Shown("depth_method", "Depth known by", aside=True),
    Shown("all_notes", "Notes", aside=True),
)


def models_section(report: ReportResult, cards: Cards) -> Markup:
    """Every model that takes part; a search over all columns, one row's whole record."""
    lead = (
        "Every model that takes part. Choose a row for all that is known about it; names and cards are quoted as they are."
    )
    table = table_data("Models", _models(report), _COLUMNS, sort="name")
    return section("models", "Models", lead, cards.card("All models", "", cards.open_table(table, data_search="models")))


def _models(report: ReportResult) -> pa.Table:
    """``models`` with how many layers of each are degenerate, how their depth is known, and all notes as one text."""
    degenerate = Counter(report.quality.degenerate.column("model_id").to_pylist())
    ids = report.models.column("model_id").to_pylist()
    of_layers = pc.dictionary_encode(report.selected.column("model_id").combine_chunks())
    numbers, rows = np.unique(of_layers.indices.to_numpy(), return_index=True)
    methods = report.selected.column("depth_method").take(pa.array(rows)).to_pylist()
    method = dict(zip(of_layers.dictionary.take(pa.array(numbers)).to_pylist(), methods, strict=True))
    more = {
        "degenerate": pa.array([degenerate[each] for each in ids], pa.int64()),
        "depth_method": pa.array([method.get(each) for each in ids], pa.string()),
        "all_notes": pa.array(["; ".join(each or ()) or None for each in report.models.column("notes").to_pylist()]),
    }
    models = report.models
    for name, values in more.items():
        models = models.append_column(name, values)
    return models
