"""Our side of a comparison, in a process of its own: the whole shift, or only the histograms of every layer.

Everything is done twice: ``first`` is the first scan of this process (and of its Ray: workers start and import),
``seconds`` the second one.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import answer, arguments_of_child


def main() -> None:
    """Arguments: ``folder``, ``what`` (shift, histograms), ``by`` (ray, threads), ``axes``, ``scratch``, ``basis``."""
    given = arguments_of_child()
    from analysis.arrays.basis import Basis
    from analysis.arrays.sketch import Sketch
    from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
    from analysis.scanning.workers import scan_workers
    from analysis.shift.measure import measure
    from analysis.shift.settings import ShiftSettings
    from distributed.settings import ClusterSettings
    from distributed.store import Store
    from distributed.store.settings import StoreSettings

    folder, scratch = Path(given["folder"]), Path(given["scratch"])
    cluster = ClusterSettings(local_ray_from=0 if given["by"] == "ray" else 1 << 62)
    found: dict[str, Any] = {}

    def once() -> Sketch:
        shutil.rmtree(folder / "sketches", ignore_errors=True)
        if given["what"] == "histograms":
            store = Store.open(StoreSettings(str(folder)))
            options = ScanOptions(workers=lambda filters: scan_workers(cluster, filters))
            return sketch_of_store(
                store, store.layers(), SketchKind(basis=Basis.read(Path(given["basis"]))), options=options
            )
        settings = ShiftSettings(
            StoreSettings(str(folder)),
            cluster=cluster,
            axes=tuple(given["axes"]),
            out=str(scratch / "out"),
            replicates=0,
        )
        result = measure(settings)
        found["matrices"] = {
            axis: shift.drift.tolist() for axis, shift in zip(given["axes"], result.shifts, strict=True)
        }
        return result.sketch

    began = time.perf_counter()
    with scan_workers(cluster, 1):  # keeps its Ray for both
        ready = time.perf_counter()
        once()
        first = time.perf_counter()
        sketch = once()
        done = time.perf_counter()
    (scratch / "basis.json").write_text(sketch.basis.to_json())
    sketch.to_parquet(scratch / "sketch.parquet")
    assert sketch.origin is not None
    found["scan_seconds"], found["rows_read"] = sketch.origin.seconds, sketch.origin.rows
    shutil.rmtree(folder / "sketches", ignore_errors=True)
    answer({"seconds": done - first, "first": first - ready, "ray_seconds": ready - began, **found})


if __name__ == "__main__":
    main()
