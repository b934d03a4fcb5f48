"""The command ``python -m analysis.replicate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.replicate.measure import ReplicateResult
    from analysis.replicate.settings import ReplicateSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("replicate", settings, steps)


def settings() -> type[ReplicateSettings]:
    """See ``analysis.command.run``."""
    from analysis.replicate.settings import ReplicateSettings

    return ReplicateSettings


def steps() -> Analysis[ReplicateSettings, ReplicateResult]:
    """See ``analysis.command.run``."""
    from analysis.replicate.files import write
    from analysis.replicate.measure import measure
    from analysis.replicate.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
