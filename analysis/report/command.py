"""One HTML page about a store that people want to look at, and every figure of it as PNG and PDF.

python -m analysis.report store.uri=data/filters out=report

``report/index.html`` needs no network and opens from disk. No filter is read if the store keeps its sketch. From
Python::

    from analysis.report.command import measure_report, write_report
    from analysis.report.settings import ReportSettings
    from distributed.store.settings import StoreSettings

    report = measure_report(ReportSettings(StoreSettings("data/filters"), axes=("task",)))
    write_report(report, Path("report"))
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from analysis.output.files import Outputs
from analysis.overrides import quoted_condition
from analysis.report.contents_section import contents_section, models_section
from analysis.report.drift_section import drift_section
from analysis.report.figures import FOLDER, write_figures
from analysis.report.measure import StoreReport, measure_store
from analysis.report.page import page_of
from analysis.report.provenance import commands, settings_in_words, versions
from analysis.report.quality_section import quality_section
from analysis.report.settings import ReportSettings
from analysis.report.structure_section import structure_section
from analysis.shift.files import writable_folder
from analysis.wording import one_line
from distributed.entry import OK, command

PAGE_FILE = "index.html"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Attributes:
    page: the HTML file.
    size: of it, bytes.
    figures: key of each figure → paths of its PNG and PDF, relative to the page's folder.
    """

    page: Path
    size: int
    figures: dict[str, list[str]]


def run(settings: ReportSettings) -> int:
    """The command: measure, write, say where; returns the exit code.

    Raises:
        UserError: see ``measure_report``, or ``settings.out`` cannot be written, known before anything is measured.
    """
    folder = writable_folder(settings.out)
    report = measure_report(settings)
    written = write_report(report, folder)
    console = Console(highlight=False)
    for reason in report.left_out.values():
        console.print(Text(f"not drawn: {reason}"), soft_wrap=True)
    console.print(
        Text(
            f"{written.page} ({written.size / 1e6:.1f} MB), open it in a browser"
            + (f"; {2 * len(written.figures)} pictures in {folder / FOLDER}" if written.figures else "")
        ),
        soft_wrap=True,
    )
    return OK


def measure_report(settings: ReportSettings) -> StoreReport:
    """Everything the page shows, of one store. Writes nothing but the sketch that the store keeps.

    Joins or starts a Ray only if filters have to be read: not if the store holds their histograms.

    Raises:
        UserError: an axis does not exist, or the condition, the basis or a number is not usable.
        StoreError: the store is empty or damaged.
    """
    return measure_store(settings)


def report_content(report: StoreReport, figures: dict[str, list[str]]) -> dict[str, Any]:
    """What the page's scripts draw, as JSON-able data; ``figures`` as ``write_figures`` returns them."""
    settings, drift = report.settings, drift_section(report)
    return {
        "store": one_line(report.uri),
        "made_at": report.made_at.strftime("%Y-%m-%d %H:%M UTC"),
        "settings": {
            "where": None if settings.where is None else one_line(settings.where),
            "min_models": settings.min_models,
            "level": settings.level,
            "divergence": report.shifts[0].divergence if report.shifts else None,
        },
        "contents": contents_section(report),
        "axes": drift.pop("axes"),
        "drift": drift,
        "structure": structure_section(report),
        "quality": quality_section(report),
        "models": models_section(report),
        "figures": figures,
        "provenance": {
            "commands": commands(settings, report.uri, [shift.axis for shift in report.shifts]),
            "versions": versions(),
            "settings": settings_in_words(settings),
            "sketch": report.shift.sketch.report.origin if report.shift and report.shift.sketch.report else None,
        },
    }


def write_report(report: StoreReport, folder: Path) -> WrittenReport:
    """Write the page, and the figures if they are asked for, into ``folder``.

    Raises:
        UserError: the disk refuses.
    """
    figures = write_figures(report, folder) if report.settings.figures else {}
    text = page_of(report_content(report, figures), f"CNN filter shift: {one_line(report.uri)}")
    outputs = Outputs(folder)
    outputs.text(PAGE_FILE, text)
    return WrittenReport(folder / PAGE_FILE, len(text.encode()), figures)


def main() -> None:
    """Entry point; see ``conf/report.yaml`` for every setting."""
    sys.argv[1:] = quoted_condition(sys.argv[1:])
    command("report", ReportSettings, run)


if __name__ == "__main__":
    main()
