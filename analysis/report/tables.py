"""Tables and matrices as data for the page's scripts: small, and without markup whatever the names in a store are."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.wording import one_line

#: What could end a script element, start a comment or an entity, or end a line in old engines.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def table_data(caption: str, rows: pa.Table, sort: str = "", aside: int = 0) -> dict[str, Any]:
    """A table of the page, under the names of its columns; those without a value are left out.

    Args:
        caption: above it.
        rows: texts and numbers.
        sort: the column it is sorted by at first: names from a, numbers from the largest.
        aside: so many of the last columns are only shown in the record of a chosen row.
    """
    columns = [
        {
            "title": name,
            "number": not pa.types.is_string(rows.schema.field(name).type),
            "aside": number >= rows.num_columns - aside,
            "values": [_cell(value) for value in rows.column(name).to_pylist()],
        }
        for number, name in enumerate(rows.column_names)
    ]
    known = [column for column in columns if any(value is not None for value in column["values"])]
    return {"caption": caption, "rows": rows.num_rows, "columns": known, "sort": sort}


def _cell(value: Any) -> str | float | None:
    if isinstance(value, float):
        return float(f"{value:.5g}") if value == value else None
    return one_line(value) if isinstance(value, str) else value


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
