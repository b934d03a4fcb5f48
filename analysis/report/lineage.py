"""Which models of the store are one model, and which do not count twice."""

from __future__ import annotations

from analysis.output.markup import Markup
from analysis.report.cards import Cards, notes
from analysis.report.measure import ReportResult
from analysis.report.tables import table_data
from analysis.wording import count

#: Ties that the page shows; the strongest of the largest lineages come first.
_MOST_TIES = 1000


def lineage_card(report: ReportResult, cards: Cards) -> Markup:
    """How many lineages there are, what was left out as a duplicate, what ties models; a tree of those tied."""
    found = report.lineage
    about = f"{count(found.extent.models, 'model')} of {count(found.lineages, 'lineage')}"
    if not found.ties.num_rows:
        about += ": nothing ties any two of them, each counts as one observation."
        return cards.card("Lineage and duplicates", about, notes((*report.duplicates, *found.notes)))
    about += "; models of one lineage are one observation, or little more: unit=lineage resamples them together."
    shown = found.ties.slice(0, _MOST_TIES).drop_columns(["model_id_a", "model_id_b"])
    table = shown.rename_columns([name.replace("_", " ") for name in shown.column_names])
    title = f"What ties models: the first {_MOST_TIES} of {found.ties.num_rows:,} ties"
    title = title if found.ties.num_rows > _MOST_TIES else f"What ties models: {count(found.ties.num_rows, 'tie')}"
    body = (notes(report.duplicates), cards.table(table_data("Ties", table), title))
    return cards.card("Lineage and duplicates", about, *body, stem="lineage_tree", command="lineage")
