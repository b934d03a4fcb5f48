"""Pairs of models, and those that a file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from analysis.wording import count, listed, shown
from distributed.errors import UserError
from distributed.label_files import JOINED_BY, read_rows
from distributed.store import StoreSettings
from distributed.suggestions import did_you_mean

#: What a cell can name a model by, in this order.
_NAMED_BY = ("model_id", "name", "model_label", *JOINED_BY[2:])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models by their ``model_id``, what they have in common (``label``), and where they were named."""

    a: str
    b: str
    label: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class PairList:
    """Pairs in order, the names of their ``sides``, and what to note."""

    pairs: tuple[Pair, ...]
    sides: tuple[str, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)


def pairs_in_file(path: str, near: StoreSettings, models: pa.Table) -> PairList:
    """The pairs of a file of two columns; further columns become the pairs' labels.

    Args:
        path: CSV, Parquet or YAML (a list ``pairs``), local or on S3.
        near: endpoint and region of S3 are this store's.
        models: a row per model of the store, with the columns of ``_NAMED_BY``.

    Raises:
        UserError: it cannot be read, or a line names no model, several, one twice, or a pair that was named before.
    """
    rows = read_rows(path, near, "pairs", "pairs")
    # Data frames write their index as a first column without a name.
    heading = [key for key in dict.fromkeys(key for _, row in rows for key in row) if key]
    if len(heading) < 2:
        raise UserError(f"pairs={path}: give two columns, of side a and of side b, and a row for each pair")
    known = {
        key: _models_by(models.column(key).to_pylist(), models.column("model_id").to_pylist()) for key in _NAMED_BY
    }
    labels = dict(zip(models.column("model_id").to_pylist(), models.column("model_label").to_pylist(), strict=True))
    found: list[Pair] = []
    seen: dict[frozenset[str], str] = {}
    for place, row in rows:
        here = f"pairs={path}: {place}"
        a, b = (_model_named(row.get(column), column, here, known, labels) for column in heading[:2])
        if a == b:
            raise UserError(f"{here}: {shown(labels[a])} is paired with itself")
        if (before := seen.setdefault(frozenset((a, b)), place)) != place:
            raise UserError(f"{here}: {shown(labels[a])} and {shown(labels[b])} are paired in {before} already")
        found.append(Pair(a, b, " · ".join(str(row[key]) for key in heading[2:] if row.get(key)), place))
    return PairList(tuple(found), (heading[0], heading[1]))


def _models_by(keys: Sequence[str | None], model_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, model_id in zip(keys, model_ids, strict=True):
        if key is not None:
            found.setdefault(key, []).append(model_id)
    return found


def _model_named(
    cell: object, column: str, here: str, known: Mapping[str, Mapping[str, list[str]]], labels: Mapping[str, str]
) -> str:
    text = "" if cell is None else str(cell).strip()
    if not text:
        raise UserError(f"{here}: no model in column {shown(column)!r}")
    for key, by in known.items():
        if text in by:
            if len(by[text]) > 1:
                several = listed([labels[model_id] for model_id in by[text]])
                raise UserError(
                    f"{here}: {key} {shown(text)!r} is of {len(by[text])} models ({several}): give model_id"
                )
            return by[text][0]
    meant = did_you_mean(text, labels.values())
    raise UserError(f"{here}: the store has no model {shown(text)!r} (by {', '.join(JOINED_BY)}){meant}")


def selected_pairs(pairs: PairList, selected: pa.Table, path: str) -> PairList:
    """Those of which both models have a layer in ``selected``; the others are noted.

    Raises:
        UserError: none is left.
    """
    there = set(selected.column("model_id").to_pylist())
    left = [pair for pair in pairs.pairs if {pair.a, pair.b} <= there]
    gone = [pair.place for pair in pairs.pairs if not {pair.a, pair.b} <= there]
    if not left:
        raise UserError(f"pairs={path}: in no pair do both models take part (after where, if given)")
    note = f"{count(len(gone), 'pair')} left out, a model does not take part (where, duplicates): {listed(gone)}"
    return replace(pairs, pairs=tuple(left), notes=(*pairs.notes, *([note] if gone else [])))
