"""Size and time of the HTML report at several sizes of store, and how fast a browser opens it.

    python -m benchmarks.report models=11,647,5000 out=report_benchmark.json

Stores are synthetic (``benchmarks.synthetic_store``): models, layers and sketch, no filters. Prints a table; writes the
same as JSON. Opening is measured in headless Chromium where it and playwright are installed, else left empty.
"""

from __future__ import annotations

import json
import platform
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.report import ReportSettings, measure_report, write_report
from benchmarks.synthetic_store import write_synthetic_store
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Measured:
    """One size. Seconds and bytes; ``opened_s``: from navigation until all sections stand, ``sorted_s``: from a click
    on a column of the table of models until it is sorted; None without a browser."""

    models: int
    layers: int
    make_store_s: float
    measure_without_tests_s: float
    measure_s: float
    write_page_s: float
    write_page_and_figures_s: float
    page_bytes: int
    figures_bytes: int
    opened_s: float | None
    sorted_s: float | None
    peak_memory_bytes: int


def measure(models: int, folder: Path) -> Measured:
    """Make a store of so many models and report on it."""
    started = time.perf_counter()
    store = write_synthetic_store(folder / "store", models)
    made = time.perf_counter() - started
    settings = StoreSettings(store.uri)
    out = folder / "report"
    out.mkdir()
    plain = ReportSettings(settings, replicates=0, out=str(out), figures=False)
    started = time.perf_counter()
    result = measure_report(plain)
    untested = time.perf_counter() - started
    started = time.perf_counter()
    write_report(result, out)
    page = time.perf_counter() - started
    started = time.perf_counter()
    result = measure_report(ReportSettings(settings, out=str(out)))
    tested = time.perf_counter() - started
    started = time.perf_counter()
    page_file, *_ = write_report(result, out)
    everything = time.perf_counter() - started
    opened, ordered = open_page(page_file)
    return Measured(
        models=models,
        layers=result.quality.layers.num_rows,
        make_store_s=made,
        measure_without_tests_s=untested,
        measure_s=tested,
        write_page_s=page,
        write_page_and_figures_s=everything,
        page_bytes=page_file.stat().st_size,
        figures_bytes=sum(file.stat().st_size for file in (out / "figures").iterdir()),
        opened_s=opened,
        sorted_s=ordered,
        peak_memory_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def open_page(page: Path) -> tuple[float | None, float | None]:
    """Seconds to open ``page`` and to sort its models, None without a browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None, None
    if browser is None:
        return None, None
    with sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"]).new_page()
        started = time.perf_counter()
        window.goto(page.resolve().as_uri())
        window.wait_for_selector("#provenance")
        opened = time.perf_counter() - started
        started = time.perf_counter()
        window.get_by_role("button", name="Parameters").click()
        window.wait_for_selector("#models th[aria-sort=descending]")
        return opened, time.perf_counter() - started


def main() -> None:
    """The command; see the module."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    results = []
    for models in (int(number) for number in given.get("models", "11,647,5000").split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(models, Path(folder))
        results.append(found)
        shown = ", ".join(
            f"{name} {value:,.4g}" if value is not None else f"{name} –" for name, value in asdict(found).items()
        )
        print(shown, flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    content = {"machine": machine, "results": [asdict(found) for found in results]}
    Path(given.get("out", "report_benchmark.json")).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
