"""Our side of a comparison, in a process of its own: the whole shift, or only the histograms of every layer."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import answer, arguments_of_child


def main() -> None:
    """Arguments: ``folder``, ``what`` (shift, histograms), ``axes``, ``scratch``, ``basis``, ``cpus``."""
    given = arguments_of_child()
    from analysis.basis import Basis
    from analysis.settings import ShiftSettings
    from analysis.shift import measure_shift
    from analysis.sketch import sketch_of_store
    from distributed.cluster import connected
    from distributed.settings import ClusterSettings
    from distributed.store import Store
    from distributed.store.settings import StoreSettings

    folder, scratch = Path(given["folder"]), Path(given["scratch"])
    shutil.rmtree(folder / "sketches", ignore_errors=True)
    cluster = ClusterSettings(local_cpus=given.get("cpus"))
    found: dict[str, Any] = {}
    began = time.perf_counter()
    with connected(cluster):
        ready = time.perf_counter()
        if given["what"] == "histograms":
            store = Store.open(StoreSettings(str(folder)))
            sketch = sketch_of_store(store, store.layers(), basis=Basis.read(Path(given["basis"])))
            done = time.perf_counter()
        else:
            settings = ShiftSettings(
                StoreSettings(str(folder)), cluster, tuple(given["axes"]), str(scratch / "out"), replicates=0
            )
            report = measure_shift(settings)
            done = time.perf_counter()
            sketch = report.sketch
            found["matrices"] = {
                axis: shift.drift.tolist() for axis, shift in zip(given["axes"], report.shifts, strict=True)
            }
            (scratch / "basis.json").write_text(sketch.basis.to_json())
        sketch.to_parquet(scratch / "sketch.parquet")
        assert sketch.report is not None
        found["scan_seconds"], found["rows_read"] = sketch.report.seconds, sketch.report.rows
    shutil.rmtree(folder / "sketches", ignore_errors=True)
    answer({"seconds": done - ready, "ray_seconds": ready - began, **found})


if __name__ == "__main__":
    main()
