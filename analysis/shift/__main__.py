"""The command ``python -m analysis.shift``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.shift.measure import ShiftResult
    from analysis.shift.settings import ShiftSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("shift", settings, steps)


def settings() -> type[ShiftSettings]:
    """See ``analysis.command.run``."""
    from analysis.shift.settings import ShiftSettings

    return ShiftSettings


def steps() -> Analysis[ShiftSettings, ShiftResult]:
    """See ``analysis.command.run``."""
    from analysis.shift.files import write
    from analysis.shift.measure import measure
    from analysis.shift.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
