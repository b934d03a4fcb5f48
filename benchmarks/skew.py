"""Both scans over stores of equal size and different shape: no shape may take 1.5 times as long as the even one.

    python -m benchmarks.skew --rows 100e6 --folder /big/disk

``one-model``: a single file holds 60 % of the rows. ``tiny-layers``: 20 000 layers of 9 filters. ``one-layer``: a
single layer holds 30 % of the rows, 30 million of 100.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.scanning.ray_workers import RayWorkers
from analysis.scanning.scan import coefficient_extremes, layer_histograms
from analysis.scanning.units import LayerIndex
from benchmarks.measuring import made_folder, read_through
from benchmarks.output import Column, Goal, Row, bars, finish, number
from benchmarks.synthetic import LAYOUTS, make_store
from distributed.cluster import connected
from distributed.settings import ClusterSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings

#: The slowest shape may take this many times what the even one takes.
GOAL = 1.5

COLUMNS = (
    Column("layout", "shape"),
    Column("rows", "filters", number(0)),
    Column("models", "models", number(0)),
    Column("layers", "layers", number(0)),
    Column("units", "units", number(0)),
    Column("range", "range, s", number(2)),
    Column("histograms", "histograms, s", number(2)),
    Column("seconds", "both, s", number(2)),
    Column("ratio", "of even", number(2)),
)


def scan_seconds(uri: str, repeats: int) -> Row:
    """Best wall time of each scan of a store, through the Ray that is connected."""
    store = Store.open(StoreSettings(uri))
    layers = store.layers()
    index, axes = LayerIndex.from_table(layers), PrincipalAxes.from_moments(Moments.from_layers(layers))
    best = {"range": float("inf"), "histograms": float("inf")}
    units = 0
    for _ in range(repeats):
        extremes, time_of_range = coefficient_extremes(store, index, axes, RayWorkers())
        basis = axes.with_range(float(extremes.low.min()), float(extremes.high.max()))
        _, time_of_histograms = layer_histograms(store, index, basis, RayWorkers())
        best["range"] = min(best["range"], time_of_range.seconds)
        best["histograms"] = min(best["histograms"], time_of_histograms.seconds)
        units = time_of_range.units
    return {"units": units, **best, "seconds": sum(best.values())}


def compare(place: Path, rows: int, repeats: int) -> list[Row]:
    """Every shape, on a Ray that is connected; stores are made in ``place`` and deleted."""
    found: list[Row] = []
    for layout in LAYOUTS:
        folder = place / layout
        made = make_store(folder, rows, layout)
        read_through(folder)
        if not found:
            scan_seconds(made.uri, 1)  # workers start and import
        began = time.perf_counter()
        row = scan_seconds(made.uri, repeats)
        print(f"{layout}: {time.perf_counter() - began:.1f} s", flush=True)
        even = found[0]["seconds"] if found else row["seconds"]
        found.append(
            {"layout": layout, "rows": made.rows, "models": made.models, "layers": made.layers}
            | row
            | {"ratio": row["seconds"] / even}
        )
        shutil.rmtree(folder)
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skew", description=__doc__)
    parser.add_argument("--rows", type=float, default=4e6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=made_folder)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="skew-") as place, connected(ClusterSettings()):
        rows = compare(Path(place), int(given.rows), given.repeats)
    worst = max(rows, key=lambda row: row["ratio"])
    goal = Goal(
        f"{worst['layout']} takes {worst['ratio']:.2f} times the even store (goal {GOAL})", worst["ratio"] <= GOAL
    )
    finish("skew", given.out, rows, COLUMNS, _draw, [goal])


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    bars(figure, rows, lambda row: str(row["layout"]), "seconds", f"Both scans of {rows[0]['rows']:,} filters, seconds")


if __name__ == "__main__":
    main()
