"""The command ``python -m analysis.report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run
from analysis.report.settings import ReportSettings

if TYPE_CHECKING:
    from analysis.report.measure import ReportResult


def steps() -> Analysis[ReportSettings, ReportResult]:
    """See ``analysis.command``."""
    from analysis.report.files import write
    from analysis.report.measure import measure
    from analysis.report.terminal import show

    return Analysis(measure, write, show)


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("report", ReportSettings, steps)


if __name__ == "__main__":
    main()
