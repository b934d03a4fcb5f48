"""The command ``python -m analysis.report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.report.measure import ReportResult
    from analysis.report.settings import ReportSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("report", settings, steps)


def settings() -> type[ReportSettings]:
    """See ``analysis.command.run``."""
    from analysis.report.settings import ReportSettings

    return ReportSettings


def steps() -> Analysis[ReportSettings, ReportResult]:
    """See ``analysis.command.run``."""
    from analysis.report.files import write
    from analysis.report.measure import measure
    from analysis.report.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
