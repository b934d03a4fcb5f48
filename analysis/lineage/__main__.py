"""The command ``python -m analysis.lineage``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.lineage.measure import LineageResult
    from analysis.lineage.settings import LineageSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("lineage", settings, steps)


def settings() -> type[LineageSettings]:
    """See ``analysis.command.run``."""
    from analysis.lineage.settings import LineageSettings

    return LineageSettings


def steps() -> Analysis[LineageSettings, LineageResult]:
    """See ``analysis.command.run``."""
    from analysis.lineage.files import write
    from analysis.lineage.measure import measure
    from analysis.lineage.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
