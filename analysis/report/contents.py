"""What is in the store: how many models of which kind, and what was left out."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from analysis.pictures.counts import Counts
from analysis.report.cards import Cards, section
from analysis.report.markup import Markup, el
from analysis.report.measure import ReportResult
from analysis.report.tables import Shown, table_data
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

_REJECTS = (
    Shown("name", "name", 13),
    Shown("what", "what", 5),
    Shown("reason", "reason", 9),
    Shown("message", "message", 30),
    Shown("place", "place", 18),
)


def contents_section(report: ReportResult, cards: Cards) -> Markup:
    """Models by kind, and what was skipped or failed."""
    tables = [_kinds(report.models, column, cards) for column in COUNTED]
    return section(
        "contents",
        "What is in it",
        "How many models of each kind take part. Unknown is unknown: nothing was guessed.",
        cards.card("Models by kind", "", el("div", tables, class_="aside"), stem="contents"),
        _rejects(report, cards),
    )


def counts_of(models: pa.Table) -> list[Counts]:
    """For each counted column with a value: its values by falling number of models."""
    found = []
    for column, title in COUNTED.items():
        values = models.column(column).to_pylist()
        often = Counter(value for value in values if value is not None)
        order = sorted(often, key=lambda value: (-often[value], value.casefold()))
        if order:
            names = [one_line(value) for value in order]
            found.append(Counts(title, names, [often[value] for value in order], values.count(None)))
    return found


def _kinds(models: pa.Table, column: str, cards: Cards) -> Markup | None:
    """All kinds on one column, with the filters of their models."""
    known = models.filter(models.column(column).is_valid())
    if not known.num_rows:
        return None
    counted = known.group_by(column).aggregate([("model_id", "count"), ("num_filters", "sum")])
    title = COUNTED[column]
    columns = (
        Shown(column, title, 12),
        Shown("model_id_count", "models", 5, "whole"),
        Shown("num_filters_sum", "filters", 7, "whole"),
    )
    table = table_data(f"Models by {title.lower()}", counted, columns, sort="model_id_count", down=True)
    return cards.table(table, f"{title}: all {counted.num_rows}, with filters")


def _rejects(report: ReportResult, cards: Cards) -> Markup:
    title = "Skipped and failed"
    if not report.rejects:
        return cards.card(title, "No listed model was skipped, none failed.")
    rows = [
        {
            "what": "skipped" if str(found.kind) == "skips" else "failed",
            "name": found.reject.name,
            "place": "/".join(part for part in (found.reject.uri, found.reject.file or "") if part),
            "reason": found.reject.reason,
            "message": found.reject.message,
        }
        for found in report.rejects
    ]
    often = Counter(f"{row['what']}: {one_line(row['reason'])}" for row in rows)
    said = " · ".join(f"{what} ({number})" for what, number in often.most_common())
    about = f"Models that were listed and hold nothing to extract, or could not be extracted. {said}"
    return cards.card(title, about, cards.open_table(table_data("Models left out", pa.Table.from_pylist(rows), _REJECTS)))
