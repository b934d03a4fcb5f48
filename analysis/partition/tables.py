"""The tables of ``analysis.partition``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.measures.permanova import Explained
from analysis.partition.measure import PartitionResult
from analysis.partition.parts import Part
from analysis.selection.factors import Factor

#: A row per part, way and factor; then what is shared, left over, and all.
SCHEMA = pa.schema(
    [
        ("of", pa.string()),
        ("part", pa.string()),
        ("observations", pa.int64()),
        ("by", pa.string()),
        ("factor", pa.string()),
        ("df", pa.int64()),
        ("sum_of_squares", pa.float64()),
        ("r2", pa.float64()),
        ("r2_chance", pa.float64()),
        ("pseudo_f", pa.float64()),
        ("p_value", pa.float64()),
        ("permutations", pa.int64()),
        ("exact", pa.bool_()),
    ]
)

#: A row per factor and group: how far its models lie from its middle; the test stands in each of its rows.
SPREAD = pa.schema(
    [
        ("factor", pa.string()),
        ("group", pa.string()),
        ("observations", pa.int64()),
        ("mean_distance", pa.float64()),
        ("df", pa.int64()),
        ("residual_df", pa.int64()),
        ("f", pa.float64()),
        ("p_value", pa.float64()),
        ("permutations", pa.int64()),
        ("exact", pa.bool_()),
    ]
)


def partition_table(result: PartitionResult) -> pa.Table:
    """``SCHEMA``. ``by`` is ``terms`` (after the factors before) or ``margin`` (after all others).

    Rows of ``by`` ``all``: ``(shared)``, what factors explain together and none adds to the others, may be below 0;
    ``(residual)``; ``(total)``.
    """
    rows: list[dict[str, Any]] = []
    for part in result.parts:
        rows += _rows(part, result.settings.factors)
    return pa.Table.from_pylist([{key: _known(value) for key, value in row.items()} for row in rows], schema=SCHEMA)


def spread_table(result: PartitionResult) -> pa.Table:
    """``SPREAD``."""
    rows = []
    for found in result.dispersions:
        tested = {"df": found.df, "residual_df": found.residual_df, "f": found.f, "p_value": found.p}
        if found.arrangements is not None:
            tested |= {"permutations": found.arrangements.number, "exact": found.arrangements.exact}
        for level, name in enumerate(found.factor.levels):
            mine = found.distances[found.factor.codes == level]
            row = {"factor": found.factor.name, "group": name, "observations": len(mine), **tested}
            rows.append(row | {"mean_distance": float(mine.mean())})
    return pa.Table.from_pylist([{key: _known(value) for key, value in row.items()} for row in rows], schema=SPREAD)


def distances_table(result: PartitionResult) -> pa.Table:
    """A row per model: its label, and its distance to each model by label."""
    columns = [pa.array(result.models, pa.string()), *map(pa.array, np.sqrt(result.squared))]
    return pa.Table.from_arrays(columns, names=["model", *result.models])


def levels_of(factor: Factor) -> str:
    """``task (8)``: a factor with the number of its values."""
    return f"{factor.name} ({len(factor.levels)})"


def _rows(part: Part, factors: tuple[str, ...]) -> list[dict[str, Any]]:
    found = part.permanova
    if found is None:
        return []
    common: dict[str, Any] = {"of": part.of, "part": part.name, "observations": part.observations}
    if found.arrangements is not None:
        common |= {"permutations": found.arrangements.number, "exact": found.arrangements.exact}

    def explained(way: str, each: Explained) -> list[dict[str, Any]]:
        columns = {"df": each.df, "sum_of_squares": each.ss, "r2": each.r2, "r2_chance": each.r2_chance}
        columns |= {"pseudo_f": each.f, "p_value": each.p}
        return [
            common | {"by": way, "factor": factor} | {name: values[k].item() for name, values in columns.items()}
            for k, factor in enumerate(factors)
        ]

    df = int(found.terms.df.sum())
    rest = [
        ("(shared)", df - int(found.margin.df.sum()), found.shared),
        ("(residual)", found.residual_df, found.residual_ss / found.total_ss),
        ("(total)", df + found.residual_df, 1.0),
    ]
    others = [
        common | {"by": "all", "factor": name, "df": number, "sum_of_squares": share * found.total_ss, "r2": share}
        for name, number, share in rest
    ]
    return [*explained("terms", found.terms), *explained("margin", found.margin), *others]


def _known(value: Any) -> Any:
    """None for NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
