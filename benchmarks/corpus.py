"""A published corpus in and out: rates against a plain h5py read of the same file, memory at two sizes, sketch stores.

    python -m benchmarks.corpus [--rows 1e6 20e6] [--folder DISK] [--layout v1.0]

Each contestant is a process of its own; the file is float64, as the published one of 105 GB is. "Cold" is read after
the file was dropped from the page cache, as a file that is larger than memory always is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Usage, answer, arguments_of_child, run_measured
from benchmarks.output import Column, Goal, Row, bars, finish, gigabytes, number

#: The import reaches this share of the rate of reading alone.
GOAL = 0.7

#: Peak memory at the largest size may be this many times that at the smallest.
FLAT = 1.25

COLUMNS = (
    Column("what", "what"),
    Column("rows", "filters", number(0)),
    Column("seconds", "s", number(2)),
    Column("nanoseconds", "ns a filter", number(1)),
    Column("share", "of h5py's rate", number(2)),
    Column("peak_process", "largest process", gigabytes),
    Column("peak", "all processes", gigabytes),
    Column("kilobytes", "kB a layer", number(2)),
)

#: Rows of one plain read, 75 MB.
_PIECE = 1 << 20


def read(given: dict[str, Any]) -> dict[str, Any]:
    """Every row into one buffer, by h5py alone."""
    import h5py
    import numpy as np

    with h5py.File(given["path"]) as file:
        filters = file["filters"]
        buffer = np.empty((_PIECE, 9), filters.dtype)
        began = time.perf_counter()
        for start in range(0, len(filters), _PIECE):
            count = min(_PIECE, len(filters) - start)
            filters.read_direct(buffer, np.s_[start : start + count], np.s_[:count])
        return {"seconds": time.perf_counter() - began}


def import_here(given: dict[str, Any]) -> dict[str, Any]:
    """All models, by one process as an actor does it."""
    import torch

    from distributed.extraction import extract_model
    from distributed.settings import ExtractSettings
    from distributed.sources import list_references
    from distributed.sources.settings import CnnFilterDbSettings
    from distributed.store import Store, StoreSettings

    torch.set_num_threads(1)
    store = Store.open(StoreSettings(given["store"]))
    store.prepare()
    references = list_references(CnnFilterDbSettings(given["path"]))
    settings, device = ExtractSettings(), torch.device("cpu")
    first = references[: 1 if len(references) > 1 else 0]  # what is compiled and imported is not the work
    for each in first:
        extract_model(each, store, settings, device, Path(given["store"]))
    began = time.perf_counter()
    filters = 0
    for each in references[len(first) :]:
        filters += extract_model(each, store, settings, device, Path(given["store"])).filters
    return {"seconds": time.perf_counter() - began, "filters": filters}


def import_by_actors(given: dict[str, Any]) -> dict[str, Any]:
    """The command: list, start Ray, import by all cores."""
    from distributed.driver import extract
    from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle
    from distributed.sources.settings import CnnFilterDbSettings
    from distributed.store.settings import StoreSettings

    settings = ExtractSettings(progress=ProgressStyle.off)
    began = time.perf_counter()
    source = CnnFilterDbSettings(given["path"])
    code = extract(ExtractionRun(source, StoreSettings(given["store"]), ClusterSettings(), settings))
    assert code == 0, code
    return {"seconds": time.perf_counter() - began}


def export_as(given: dict[str, Any]) -> dict[str, Any]:
    """One export of the imported store."""
    from analysis.export import ExportSettings, export
    from analysis.export.settings import Format, Level
    from distributed.store.settings import StoreSettings

    done = export(
        ExportSettings(
            StoreSettings(given["store"]),
            out=given["out"],
            format=Format(given["format"]),
            level=Level(given["level"]),
        )
    )
    return {"seconds": done.seconds, "size": done.size, "layers": done.extent.layers}


def compare(folder: Path, rows: int, layout: str) -> list[Row]:
    """All contestants on one file of about ``rows`` filters, which is deleted."""
    from benchmarks.synthetic_corpus import Layout, plan_of, write_corpus

    plan = plan_of(rows, Layout(layout))
    path = write_corpus(folder / "dataset.h5", plan)
    found: list[Row] = []

    def run(what: str, who: str, filters: int = plan.filters, **given: Any) -> tuple[dict[str, Any], Row]:
        told, usage = run_measured("benchmarks.corpus", {"who": who, "path": str(path), **given})
        row = _row(what, told.get("filters") or filters, told["seconds"], usage)
        found.append(row)
        return told, row

    for state in ("warm", "cold"):
        forget = state == "cold"
        _prepare(path, forget=forget)
        _, plain = run(f"h5py read, {state}", "read")
        for what, who in (("one process", "import_here"), ("actors, with Ray's start", "import_by_actors")):
            store = folder / f"store-{who}"
            shutil.rmtree(store, ignore_errors=True)
            _prepare(path, forget=forget)
            _, row = run(f"import by {what}, {state}", who, store=str(store))
            row["share"] = plain["nanoseconds"] / row["nanoseconds"]
    imported = str(folder / "store-import_here")
    run("export HDF5", "export", store=imported, out=str(folder / "out.h5"), format="cnn_filter_db", level="filters")
    told, row = run(
        "export level=sketch", "export", store=imported, out=str(folder / "sketch"), format="store", level="sketch"
    )
    row["kilobytes"] = told["size"] / told["layers"] / 1e3
    return found


def _prepare(path: Path, *, forget: bool) -> None:
    """The file in the page cache, or not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if forget:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        else:
            while os.read(descriptor, 1 << 24):
                pass
    finally:
        os.close(descriptor)


def _row(what: str, filters: int, seconds: float, usage: Usage) -> Row:
    return {
        "what": what,
        "rows": filters,
        "seconds": seconds,
        "nanoseconds": seconds / max(1, filters) * 1e9,
        "peak_process": usage.peak_process_bytes,
        "peak": usage.peak_bytes,
    }


def goals(rows: Sequence[Row], smallest: int, largest: int) -> list[Goal]:
    """What was promised, on the largest file; actors without Ray's start by the difference of the two sizes."""
    by = {(row["size"], row["what"]): row for row in rows}
    found = []
    for state in ("warm", "cold"):
        plain = by[largest, f"h5py read, {state}"]
        big, small = (by[size, f"import by actors, with Ray's start, {state}"] for size in (largest, smallest))
        if big["rows"] <= small["rows"]:
            continue
        longer = big["seconds"] - small["seconds"]
        if longer <= 0:
            text = f"import by actors, {state}: nothing to say, {big['rows']:,} filters took no longer than Ray's start"
            found.append(Goal(text, met=False))
        else:
            each = longer / (big["rows"] - small["rows"]) * 1e9
            share = plain["nanoseconds"] / each
            text = f"import by actors {each:.0f} ns a filter without Ray's start, {share:.2f} of a plain h5py read"
            found.append(Goal(f"{text}, {state} (goal {GOAL})", share >= GOAL))
    big, small = (by[size, "import by one process, warm"] for size in (largest, smallest))
    ratio = big["peak_process"] / small["peak_process"]
    found.append(Goal(f"peak memory of an import {ratio:.2f} times that of the smallest (goal {FLAT})", ratio <= FLAT))
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 20e6])
    parser.add_argument("--layout", default="v1.0")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    sizes = [int(rows) for rows in given.rows]
    rows: list[Row] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            rows += [{"size": size, **row} for row in compare(Path(folder), size, given.layout)]
    finish(
        "corpus",
        given.out,
        rows,
        COLUMNS,
        lambda figure, all_rows: bars(
            figure, all_rows, lambda row: f"{row['what']} ({row['rows']:,})", "nanoseconds", "ns a filter"
        ),
        goals(rows, min(sizes), max(sizes)),
    )


if __name__ == "__main__":
    if os.environ.get("BENCHMARK_RESULT"):
        told = arguments_of_child()
        contestants = {
            "read": read,
            "import_here": import_here,
            "import_by_actors": import_by_actors,
            "export": export_as,
        }
        answer(contestants[told["who"]](told))
    else:
        main()
