"""How far factors can be told apart at all: Cramér's V of every two, and those that are the same or nested by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float64, Int64
from analysis.selection.factors import Factor, cells_of

#: One row a pair of factors; a level of the nested one has one value on the other.
SCHEMA = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("observations", pa.int64()),
        ("levels_a", pa.int64()),
        ("levels_b", pa.int64()),
        ("cells", pa.int64()),
        ("cramers_v", pa.float64()),
        ("cramers_v_corrected", pa.float64()),
        ("relation", pa.string()),
    ]
)


def relation_of(a: Factor, b: Factor) -> str:
    """``same``, ``a in b`` or ``b in a`` (nested: each level of the one has one value on the other), or ``crossed``."""
    cells = int(cells_of([a.codes, b.codes]).max()) + 1
    finer = (cells == len(a.levels), cells == len(b.levels))
    return {(True, True): "same", (True, False): "a in b", (False, True): "b in a"}.get(finer, "crossed")


def confounding(factors: Sequence[Factor]) -> pa.Table:
    """A row per pair of factors (``SCHEMA``), of the same observations, all known on all of them."""
    rows = []
    for a, b in itertools.combinations(factors, 2):
        counts = contingency(a, b)
        raw, corrected = cramers_v(counts)
        rows.append(
            {
                "a": a.name,
                "b": b.name,
                "observations": int(counts.sum()),
                "levels_a": len(a.levels),
                "levels_b": len(b.levels),
                "cells": int((counts > 0).sum()),
                "cramers_v": raw,
                "cramers_v_corrected": corrected,
                "relation": relation_of(a, b),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def contingency(a: Factor, b: Factor) -> Int64:
    """(levels of a, levels of b) numbers of observations."""
    counts = np.zeros((len(a.levels), len(b.levels)), np.int64)
    np.add.at(counts, (a.codes, b.codes), 1)
    return counts


def cramers_v(counts: Int64) -> tuple[float, float]:
    """Cramér's V of (R, C) counts without empty rows and columns, plain and corrected for bias (Bergsma 2013).

    V = √(φ² / min(R − 1, C − 1)), φ² = χ²/n. Many levels with few observations each make the plain one large whatever
    they mean; the corrected one takes off what chance would give, and is 0 on average for independent factors. NaN
    where a factor has one level, and the corrected one where nothing is left after the correction.
    """
    number = int(counts.sum())
    expected: Float64 = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / number
    phi = float(((counts - expected) ** 2 / expected).sum()) / number
    rows, columns = counts.shape
    smaller = min(rows, columns) - 1
    if smaller < 1:
        return float("nan"), float("nan")
    plain = min(1.0, float(np.sqrt(phi / smaller)))
    if number < 2:
        return plain, float("nan")
    reduced = max(0.0, phi - (rows - 1) * (columns - 1) / (number - 1))
    smaller_reduced = min(size - (size - 1) ** 2 / (number - 1) for size in (rows, columns)) - 1
    return plain, min(1.0, float(np.sqrt(reduced / smaller_reduced))) if smaller_reduced > 1e-12 else float("nan")
