"""The files of ``analysis.report``: the page, and its figures beside it."""

from __future__ import annotations

from pathlib import Path

from analysis.output.files import Outputs
from analysis.report.content import report_content
from analysis.report.figures import write_figures
from analysis.report.measure import ReportResult
from analysis.report.page import page_of
from analysis.wording import one_line

PAGE_FILE = "index.html"


def write(result: ReportResult, folder: Path) -> list[Path]:
    """Write the page, and the figures if they are asked for, into ``folder``; returns the paths, the page first.

    Raises:
        UserError: the disk refuses.
    """
    figures = write_figures(result, folder) if result.settings.figures else {}
    with Outputs(folder, "report") as outputs:
        outputs.text(PAGE_FILE, page_of(report_content(result, figures), f"CNN filter shift: {one_line(result.uri)}"))
    return [*outputs.written, *(folder / path for paths in figures.values() for path in paths)]
