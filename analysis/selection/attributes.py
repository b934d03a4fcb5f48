"""What is known of models beyond the store's columns: attributes as columns of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from distributed.records import MODELS_SCHEMA

_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")

_TRUTHS = {"true": True, "True": True, "false": False, "False": False}


def with_attributes(models: pa.Table) -> pa.Table:
    """The table ``models`` with a column per key of ``attributes``; ``attributes_<key>`` where the name is taken.

    Texts that are all whole numbers, numbers, or ``true`` and ``false`` become such columns, so that a condition
    compares them as what they are.
    """
    maps = [dict(each or ()) for each in models.column("attributes").to_pylist()]
    taken = {name.casefold() for name in models.column_names}  # SQL knows no case
    for key in sorted({key for each in maps for key in each}):
        name = key
        while name.casefold() in taken:
            name = f"attributes_{name}"
        taken.add(name.casefold())
        models = models.append_column(name, typed([each.get(key) for each in maps]))
    return models


def attribute_names(models: pa.Table) -> list[str]:
    """The columns of a table ``models`` that are none of the store's own."""
    return [name for name in models.column_names if name not in MODELS_SCHEMA.names]


def typed(texts: Sequence[str | None]) -> pa.Array:
    """Texts as whole numbers, numbers or truths if all of them are; ``007`` stays a text."""
    known = [text for text in texts if text is not None]
    if known and all(text in _TRUTHS for text in known):
        return pa.array([None if text is None else _TRUTHS[text] for text in texts], pa.bool_())
    if known and all(_WHOLE.fullmatch(text) for text in known):
        return pa.array([None if text is None else int(text) for text in texts], pa.int64())
    if known and all(_NUMBER.fullmatch(text) for text in known):
        return pa.array([None if text is None else float(text) for text in texts], pa.float64())
    return pa.array(texts, pa.string())
