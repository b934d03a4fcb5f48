"""A dry run: the pairs that a store, or timm's registry, offers. Nothing is measured, read or written."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from analysis.output.tables import Column, narrow_table
from analysis.pairs.listing import Pair, PairList
from analysis.pairs.matching import Candidates, matched_pairs
from analysis.pairs.measure import list_pairs
from analysis.pairs.settings import PairsSettings
from analysis.selection.view import StoreView
from analysis.wording import count, one_line
from distributed.name_patterns import several

#: Rows of the table of values.
_MOST_VALUES = 20

#: Pairs that are printed where nobody chose two values; of two values all are.
_MOST_PAIRS = 50


def show_offers(settings: PairsSettings, console: Console) -> bool:
    """Print the pairs where ``settings.dry_run`` asks for it; whether it does.

    Where the contrast has several values and none is named: how many pairs every two of them have, and the first pairs
    of each.

    Raises:
        UserError: see ``analysis.pairs.measure.list_pairs``; or timm has no such models.
    """
    if not settings.dry_run:
        return False
    if several(settings.timm):
        flat = _timm_models(several(settings.timm))
        view = None
    else:
        view = StoreView.open(settings.store, settings.labels)
        flat = view.select(settings.where, settings.filters)
    labels = dict(zip(flat.column("model_id").to_pylist(), flat.column("model_label").to_pylist(), strict=True))
    if settings.contrast is None:
        assert view is not None
        _print_pairs(list_pairs(settings, view, flat), labels, console)
        return True
    candidates = Candidates.of(flat, settings.match, settings.contrast)
    if settings.values or len(candidates.values) == 2:
        _print_pairs(matched_pairs(candidates, settings.values, settings.max_pairs), labels, console)
    else:
        _print_values(candidates, labels, console)
    return True


def _timm_models(patterns: Sequence[str]) -> pa.Table:
    """As a flat view: a row per tag, by its name; those with weights on the Hub alone."""
    from distributed.timm_tags import tags_table  # and timm: seconds

    tags = tags_table(patterns)
    tags = tags.filter(tags.column("on_hub"))
    return tags.append_column("model_id", tags.column("name")).append_column("model_label", tags.column("name"))


def _print_pairs(found: PairList, labels: dict[str, str], console: Console) -> None:
    a, b = map(one_line, found.sides)
    _print_table(f"{count(len(found), 'pair')} of {a} and {b}", _columns((a, b), found.pairs, labels), console)
    for note in found.notes:
        console.print(Text(one_line(note)))
    console.print(Text("dry run: nothing was measured or written"))


def _print_values(candidates: Candidates, labels: dict[str, str], console: Console) -> None:
    """Which values offer how many pairs, the most first; then pairs of them."""
    offers = candidates.offers()
    rows, total = offers[:_MOST_VALUES], sum(number for *_, number in offers)
    title = f"{count(total, 'pair')} that agree in {', '.join(candidates.match)}, by {candidates.contrast}"
    columns = [
        Column("a", [candidates.values[a] for a, _, _ in rows], is_name=True),
        Column("b", [candidates.values[b] for _, b, _ in rows], is_name=True),
        Column("pairs", [f"{number:,}" for *_, number in rows]),
    ]
    if len(rows) < len(offers):
        title += f" (of {len(offers)} pairs of values the {len(rows)} most frequent)"
    _print_table(title, columns, console)
    shown: list[Pair] = []
    for a, b, _ in offers:
        shown += candidates.pairs(a, b) if len(shown) < _MOST_PAIRS else []
    shown = shown[:_MOST_PAIRS]
    title = (
        f"Pairs (the first {len(shown)} of {total}; values=[a,b] shows all of two)" if len(shown) < total else "Pairs"
    )
    console.print()
    _print_table(title, _columns(("a", "b"), shown, labels), console)
    for note in candidates.notes:
        console.print(Text(one_line(note)))
    console.print(Text("dry run: nothing was measured or written"))


def _columns(sides: tuple[str, str], pairs: Sequence[Pair], labels: dict[str, str]) -> list[Column]:
    agree = [pair.label for pair in pairs]
    return [
        Column(sides[0], [labels[pair.a] for pair in pairs], is_name=True),
        Column(sides[1], [labels[pair.b] for pair in pairs], is_name=True),
        *([Column("agree in", agree, is_name=True)] if any(agree) else []),
    ]


def _print_table(title: str, columns: Sequence[Column], console: Console) -> None:
    """The title on a line of its own: it may be wider than the table."""
    table = narrow_table("", columns, console.width)
    table.title = None
    console.print(Text(title, style="bold"))
    console.print(table)
