"""The command ``python -m analysis.compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run
from analysis.compare.settings import CompareSettings

if TYPE_CHECKING:
    from analysis.compare.measure import CompareResult


def steps() -> Analysis[CompareSettings, CompareResult]:
    """See ``analysis.command``."""
    from analysis.compare.files import write
    from analysis.compare.measure import measure
    from analysis.compare.terminal import show

    return Analysis(measure, write, show)


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("compare", CompareSettings, steps)


if __name__ == "__main__":
    main()
