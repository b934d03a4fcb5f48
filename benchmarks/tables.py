"""The same histograms of every layer in DuckDB's SQL and in Polars' expressions, on a basis that is given.

Both compute what our second scan computes, from the same files: scale, project, bin, count by layer and component.
Their counts are compared with ours; bins differ where a coefficient lies within rounding of an edge.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.basis import Basis
from analysis.arrays.sketch import Sketch
from benchmarks.measuring import answer, arguments_of_child


def duckdb_counts(folder: Path, basis: Basis, scratch: Path) -> list[tuple[int, int, int, int]]:
    """(layer, component, bin, count): one pass over the files, nine groupings."""
    import duckdb

    matrix, offset = basis.projection.matrix, basis.projection.offset
    scale = basis.bins / (basis.high - basis.low)
    largest = f"greatest({', '.join(f'abs(w{i})' for i in range(9))})::DOUBLE"
    scaled = ", ".join(f"CASE WHEN m = 0 THEN 0.0 ELSE w{i} / m END AS s{i}" for i in range(9))
    bins = ", ".join(
        f"least({basis.bins - 1}, greatest(0, floor(({' + '.join(f'{matrix[k, i]!r} * s{i}' for i in range(9))} "
        f"+ {float(offset[k])!r} - {basis.low!r}) * {scale!r})))::UTINYINT AS b{k}"
        for k in range(9)
    ).replace("np.float64(", "(")
    sets = ", ".join(f"(layer_id, b{k})" for k in range(9))
    query = f"""
        SELECT layer_id, {", ".join(f"b{k}" for k in range(9))}, count(*) AS n FROM (
            SELECT layer_id, {bins} FROM (
                SELECT layer_id, {scaled} FROM (
                    SELECT *, {largest} AS m FROM read_parquet('{folder}/filters/*.parquet'))))
        GROUP BY GROUPING SETS ({sets})"""
    with duckdb.connect(config={"threads": os.cpu_count() or 1, "temp_directory": str(scratch)}) as database:
        rows = database.execute(query).fetchall()
    found = []
    for row in rows:
        component = next(k for k in range(9) if row[1 + k] is not None)
        found.append((row[0], component, row[1 + component], row[10]))
    return found


def polars_counts(folder: Path, basis: Basis, _scratch: Path) -> list[tuple[int, int, int, int]]:
    """The same with lazy frames and the streaming engine; the nine groupings share what they can."""
    import polars as pl

    matrix, offset = basis.projection.matrix, basis.projection.offset
    scale = basis.bins / (basis.high - basis.low)
    frame = pl.scan_parquet(f"{folder}/filters/*.parquet")
    weights = [pl.col(f"w{i}").cast(pl.Float64) for i in range(9)]
    frame = frame.with_columns(pl.max_horizontal([weight.abs() for weight in weights]).alias("m"))
    inverse = pl.when(pl.col("m") > 0).then(1.0 / pl.col("m")).otherwise(0.0)
    frame = frame.with_columns(inverse.alias("r"))
    queries = []
    for k in range(9):
        total = sum((weights[i] * float(matrix[k, i]) for i in range(1, 9)), weights[0] * float(matrix[k, 0]))
        slot = ((total * pl.col("r") + float(offset[k]) - basis.low) * scale).floor().clip(0, basis.bins - 1)
        queries.append(frame.select("layer_id", slot.cast(pl.UInt8).alias("bin")).group_by("layer_id", "bin").len())
    found = []
    for k, table in enumerate(pl.collect_all(queries, engine="streaming")):
        found += [(layer, k, slot, count) for layer, slot, count in table.iter_rows()]
    return found


def main() -> None:
    """Arguments: ``folder``, ``engine`` (duckdb, polars), ``scratch`` with ours: ``basis.json``, ``sketch.parquet``."""
    given: dict[str, Any] = arguments_of_child()
    scratch = Path(given["scratch"])
    basis, ours = Basis.read(scratch / "basis.json"), Sketch.from_parquet(scratch / "sketch.parquet")
    count = {"duckdb": duckdb_counts, "polars": polars_counts}[given["engine"]]
    began = time.perf_counter()
    rows = np.array(count(Path(given["folder"]), basis, scratch), np.int64)
    seconds = time.perf_counter() - began
    counts = np.zeros_like(ours.counts)
    np.add.at(counts, (np.searchsorted(ours.layer_ids, rows[:, 0]), rows[:, 1], rows[:, 2]), rows[:, 3])
    moved = int(np.abs(counts - ours.counts).sum()) // 2
    answer({"seconds": seconds, "ray_seconds": 0.0, "coefficients_elsewhere": moved})


if __name__ == "__main__":
    main()
