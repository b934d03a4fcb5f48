"""The command ``python -m analysis.partition``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.partition.measure import PartitionResult
    from analysis.partition.settings import PartitionSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("partition", settings, steps)


def settings() -> type[PartitionSettings]:
    """See ``analysis.command.run``."""
    from analysis.partition.settings import PartitionSettings

    return PartitionSettings


def steps() -> Analysis[PartitionSettings, PartitionResult]:
    """See ``analysis.command.run``."""
    from analysis.partition.files import write
    from analysis.partition.measure import measure
    from analysis.partition.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
