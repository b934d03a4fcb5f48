"""What is in the store: its models, of which kind they are, and what was left out."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from analysis.output.markup import Markup, el
from analysis.pictures.counts import Counts
from analysis.report.cards import Cards, spaced
from analysis.report.lineage import lineage_card
from analysis.report.measure import ReportResult
from analysis.report.tables import table_data
from analysis.selection.attributes import attribute_names
from analysis.wording import one_line

#: Columns of ``models`` that are counted; one that is null everywhere is passed over. So are attributes and labels of
#: few kinds.
_KINDS = (
    *("task", "visual_category", "architecture", "family", "training_dataset", "library", "license", "format"),
    *("recipe", "resolution"),
)

#: An attribute of more kinds is a name or a measurement: the record of a model shows it.
_MOST_KINDS = 30

#: Columns of the table of models, and of the record of one besides.
_SHOWN = ("name", *_KINDS[:5], "num_parameters", "num_filters", "num_layers_3x3", "degenerate", "library", "license")
_RECORDED = (
    *("pretraining_dataset", "format", "source", "uri", "file", "revision", "paper", "model_id", "tool_version"),
    *("recipe", "resolution", "share_3x3", "bytes_total", "depth_method", "notes"),
)

#: What people call columns, where the name does not say it.
_TITLES = {
    "training_dataset": "Training data",
    "pretraining_dataset": "Pre-training data",
    "num_parameters": "Parameters",
    "num_filters": "3×3 filters",
    "num_layers_3x3": "3×3 layers",
    "degenerate": "Degenerate layers",
    "uri": "Repository",
    "tool_version": "Extracted by",
    "share_3x3": "Share of 3×3",
    "bytes_total": "Bytes",
    "depth_method": "Depth known by",
}


def contents_section(report: ReportResult, cards: Cards) -> Markup:
    """Models by kind, which are one model, and what was skipped or failed."""
    tables = [_kinds(report.models, column, cards) for column in _counted(report.models)]
    kinds = cards.card("Models by kind", "", el("div", tables, class_="aside"), stem="contents")
    return Markup(kinds + lineage_card(report, cards) + _rejects(report, cards))


def models_section(report: ReportResult, cards: Cards) -> Markup:
    """Every model that takes part, with a search over all columns and one row's whole record."""
    ids, methods = (report.selected.column(name).to_pylist() for name in ("model_id", "depth_method"))
    method = dict(zip(reversed(ids), reversed(methods), strict=True))  # of each model's first layer
    degenerate = Counter(report.quality.degenerate.column("model_id").to_pylist())
    models = report.models.column("model_id").to_pylist()
    notes = ["; ".join(each or ()) or None for each in report.models.column("notes").to_pylist()]
    recorded = (*_RECORDED, *_attributes(report.models))
    found = {name: report.models.column(name) for name in (*_SHOWN, *recorded) if name in report.models.column_names}
    found["degenerate"] = pa.array([degenerate[each] for each in models], pa.int64())
    found["depth_method"] = pa.array([method.get(each) for each in models], pa.string())
    found["notes"] = pa.array(notes, pa.string())
    titles = {name: _title(name) for name in (*_SHOWN, *recorded)}
    often = Counter(titles.values())
    # An attribute may be called like a title of ours: ``Task``.
    table = pa.table({title if often[title] == 1 else name: found[name] for name, title in titles.items()})
    return cards.open_table(table_data("Models", table, sort="Name", aside=len(recorded)), data_search="models")


def _attributes(models: pa.Table) -> list[str]:
    """Attributes and labels that fit a cell."""
    return [name for name in attribute_names(models) if not pa.types.is_nested(models.schema.field(name).type)]


def _counted(models: pa.Table) -> list[str]:
    """The columns that are counted."""
    more = [name for name in _attributes(models) if not pa.types.is_floating(models.schema.field(name).type)]
    return [*_KINDS, *(name for name in more if len(pc.unique(models.column(name))) <= _MOST_KINDS)]


def counts_of(models: pa.Table) -> list[Counts]:
    """For each counted column with a value: its values by falling number of models."""
    found = []
    for column in _counted(models):
        values = models.column(column).to_pylist()
        often = Counter(value for value in values if value is not None)
        order = sorted(often, key=lambda value: (-often[value], str(value).casefold()))
        if order:
            names = [one_line(str(value)) for value in order]
            found.append(Counts(_title(column), names, [often[value] for value in order], values.count(None)))
    return found


def _title(column: str) -> str:
    return _TITLES.get(column, spaced(column).capitalize())


def _kinds(models: pa.Table, column: str, cards: Cards) -> Markup | None:
    """All kinds on one column, with the filters of their models."""
    # One chunk of the columns that count: a store's tables have one a model, and each costs.
    known = models.select([column, "model_id", "num_filters"]).combine_chunks().drop_null()
    if not known.num_rows:
        return None
    counted = known.group_by(column).aggregate([("model_id", "count"), ("num_filters", "sum")])
    counted = counted.set_column(0, column, counted.column(0).cast(pa.string()))
    title = _title(column)
    table = table_data(f"Models by {title.lower()}", counted.rename_columns([title, "models", "filters"]), "models")
    return cards.table(table, f"{title}: all {counted.num_rows}, with filters")


def _rejects(report: ReportResult, cards: Cards) -> Markup:
    title = "Skipped and failed"
    if not report.rejects:
        return cards.card(title, "No listed model was skipped, none failed.")
    rows = [
        {
            "name": found.reject.name,
            "what": "skipped" if str(found.kind) == "skips" else "failed",
            "reason": found.reject.reason,
            "message": found.reject.message,
            "place": "/".join(part for part in (found.reject.uri, found.reject.file or "") if part),
        }
        for found in report.rejects
    ]
    often = Counter(f"{row['what']}: {one_line(row['reason'])}" for row in rows)
    said = " · ".join(f"{what} ({number})" for what, number in often.most_common())
    about = f"Models that were listed and hold nothing to extract, or could not be extracted. {said}"
    return cards.card(title, about, cards.open_table(table_data("Models left out", pa.Table.from_pylist(rows))))
