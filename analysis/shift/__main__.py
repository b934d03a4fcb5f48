"""The command ``python -m analysis.shift``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run
from analysis.shift.settings import ShiftSettings

if TYPE_CHECKING:
    from analysis.shift.measure import ShiftResult


def steps() -> Analysis[ShiftSettings, ShiftResult]:
    """See ``analysis.command``."""
    from analysis.shift.files import write
    from analysis.shift.measure import measure
    from analysis.shift.terminal import show

    return Analysis(measure, write, show)


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("shift", ShiftSettings, steps)


if __name__ == "__main__":
    main()
