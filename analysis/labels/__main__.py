"""The command ``python -m analysis.labels``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.labels.measure import LabelsResult
    from analysis.labels.settings import LabelsSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("labels", settings, steps)


def settings() -> type[LabelsSettings]:
    """See ``analysis.command.run``."""
    from analysis.labels.settings import LabelsSettings

    return LabelsSettings


def steps() -> Analysis[LabelsSettings, LabelsResult]:
    """See ``analysis.command.run``."""
    from analysis.labels.files import write
    from analysis.labels.measure import measure
    from analysis.labels.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
