"""Data for the page: small, and safe inside HTML whatever the names in a store are."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.wording import one_line

#: What could end a script element, start a comment or an entity, or end a line in old engines.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def script_json(content: Any) -> str:
    """JSON that means the same to ``JSON.parse`` and holds no character that HTML gives a meaning.

    Raises:
        ValueError: a NaN or an infinity outside a packed array.
    """
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def packed(values: npt.ArrayLike) -> dict[str, str]:
    """float32 little endian, base64: 5.3 characters a number; NaN stays NaN."""
    return {"f32": base64.b64encode(np.asarray(values, "<f4").tobytes()).decode("ascii")}


def upper(matrix: npt.NDArray[Any]) -> dict[str, str]:
    """The pairs of a symmetric (G, G) matrix: (0, 1), (0, 2) … (G − 2, G − 1), packed."""
    return packed(matrix[np.triu_indices(len(matrix), k=1)])


def words(values: Sequence[str | None]) -> dict[str, Any]:
    """A column of names: each different one once, and its number in every row (−1: null)."""
    shown = [None if value is None else one_line(value) for value in values]
    known = list(dict.fromkeys(value for value in shown if value is not None))
    number = {value: index for index, value in enumerate(known)}
    return {"words": known, "codes": [-1 if value is None else number[value] for value in shown]}


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
