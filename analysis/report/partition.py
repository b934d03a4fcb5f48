"""Which factor explains the distances between models, below how far factors can be told apart."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from analysis.output.markup import Markup, el, together
from analysis.partition.measure import PartitionResult
from analysis.report.cards import Cards, notes
from analysis.report.measure import ReportResult
from analysis.report.tables import table_data
from analysis.wording import count


def partition_section(report: ReportResult, cards: Cards) -> Markup:
    """Confounding first, then what each factor explains."""
    found = report.partition
    if found.result is None:
        reasons = found.notes or ("no axis of this page is a property of models",)
        return el("section", el("h3", "No factor to compare"), notes(reasons), class_="card")
    return together((_confounding(found.result, cards), _explained(found.result, found.notes, cards)))


def factors_of(report: ReportResult) -> tuple[str, ...]:
    """The axes that are factors."""
    return report.partition.result.settings.factors if report.partition.result else ()


def _confounding(result: PartitionResult, cards: Cards) -> Markup | None:
    if not result.confounding.num_rows:
        return None
    about = (
        "Cramér’s V, 0 to 1: at 1 one factor follows from the other, and nothing can say which of them matters. "
        "Corrected: less what many levels with few models give by chance."
    )
    shown = result.confounding.select(["a", "b", "observations", "cramers_v", "cramers_v_corrected", "relation"])
    titles = ["factor", "other factor", "models", "V", "V corrected", "relation"]
    return cards.card("Confounding", about, cards.open_table(table_data("Confounding", shown.rename_columns(titles))))


def _explained(result: PartitionResult, left_out: tuple[str, ...], cards: Cards) -> Markup:
    about = (
        f"PERMANOVA of {count(result.parts[0].observations, 'observation')}: shares of all squared distances between "
        "models. First: after the factors above; adds: after all others; by chance: what as many random groups add. A "
        "small p says that groups differ in place or in spread, not why."
    )
    table = cards.open_table(_table(result))
    title = "What each factor explains"
    return cards.card(title, about, table, notes((*left_out, *result.notes)), command="partition")


def _table(result: PartitionResult) -> dict[str, Any]:
    found, factors = result.whole, result.settings.factors
    rest = [None, None]
    columns: dict[str, Any] = {
        "factor": [*factors, "shared", "residual"],
        "df": [*found.terms.df.tolist(), None, found.residual_df],
        "first, %": [*(100 * found.terms.r2).tolist(), None, None],
        "p first": [*found.terms.p.tolist(), *rest],
        "adds, %": [*(100 * found.margin.r2).tolist(), 100 * found.shared, 100 * (1 - found.r2)],
        "by chance, %": [*(100 * found.margin.r2_chance).tolist(), *rest],
        "p adds": [*found.margin.p.tolist(), *rest],
    }
    spread = {each.factor.name: each.p for each in result.dispersions}
    columns["p of spread"] = [*(spread.get(factor) for factor in factors), *rest]
    return table_data("What each factor explains", pa.table({name: _array(each) for name, each in columns.items()}))


def _array(values: list[Any]) -> pa.Array:
    kind = pa.string() if isinstance(values[0], str) else pa.float64()
    return pa.array(values, kind, from_pandas=True)
