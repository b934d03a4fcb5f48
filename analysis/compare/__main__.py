"""The command ``python -m analysis.compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.compare.measure import CompareResult
    from analysis.compare.settings import CompareSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("compare", settings, steps)


def settings() -> type[CompareSettings]:
    """See ``analysis.command.run``."""
    from analysis.compare.settings import CompareSettings

    return CompareSettings


def steps() -> Analysis[CompareSettings, CompareResult]:
    """See ``analysis.command.run``."""
    from analysis.compare.files import write
    from analysis.compare.measure import measure
    from analysis.compare.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
