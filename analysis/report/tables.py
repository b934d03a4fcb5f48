"""Tables and matrices as data for the page's scripts: small, and without markup whatever the names in a store are."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.wording import one_line

#: What could end a script element, start a comment or an entity, or end a line in old engines.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of a table in the page.

    Attributes:
        column: of the Arrow table.
        title: above it.
        width: rem.
        show: how a number is written: ``whole``, ``digits``, ``percent``; None: the column holds words.
        aside: only in the record of a chosen row.
    """

    column: str
    title: str
    width: float = 6.0
    show: str | None = None
    aside: bool = False


def table_data(
    caption: str, rows: pa.Table, columns: Sequence[Shown], sort: str | None = None, down: bool = False
) -> dict[str, Any]:
    """A table, sorted by a column at first. Columns of words without a single one are left out."""
    shown = []
    for each in columns:
        values = rows.column(each.column).to_pylist()
        if each.show:
            content: dict[str, Any] = {"numbers": numbers(values, 5), "show": each.show}
        elif any(value is not None for value in values):
            content = {**words(values), "show": "text"}
        else:
            continue
        shown.append({"title": each.title, "width": each.width, "aside": each.aside, "key": each.column, **content})
    first = [column["key"] for column in shown].index(sort) if sort else -1
    return {"caption": caption, "rows": rows.num_rows, "columns": shown, "sort": first, "down": down}


def script_json(content: Any) -> str:
    """JSON that means the same to ``JSON.parse`` and holds no character that HTML gives a meaning.

    Raises:
        ValueError: a NaN or an infinity outside a packed array.
    """
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def upper(matrix: npt.NDArray[Any]) -> str:
    """The pairs of a symmetric (G, G) matrix: (0, 1), (0, 2) … (G − 2, G − 1), as float32, little endian, base64.

    5.3 characters a number; NaN stays NaN.
    """
    pairs = matrix[np.triu_indices(len(matrix), k=1)]
    return base64.b64encode(np.asarray(pairs, "<f4").tobytes()).decode("ascii")


def words(values: Sequence[str | None]) -> dict[str, Any]:
    """A column of names: each different one once, and its number in every row (−1: null)."""
    known = dict.fromkeys(one_line(value) for value in dict.fromkeys(values) if value is not None)
    number = {value: index for index, value in enumerate(known)}
    shown = {value: number[one_line(value)] for value in dict.fromkeys(values) if value is not None}
    return {"words": list(known), "codes": [-1 if value is None else shown[value] for value in values]}


def numbers(values: Sequence[float | None] | npt.NDArray[Any], digits: int = 6) -> list[float | None]:
    """A column of numbers, floats to ``digits`` significant ones; null and NaN become null."""
    found: list[float | None] = []
    for value in values:
        if value is None or value != value:
            found.append(None)
        elif float(value).is_integer():
            found.append(int(value))
        else:
            found.append(float(f"{float(value):.{digits}g}"))
    return found
