"""The command ``python -m analysis.quality``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.quality.measure import QualityResult
    from analysis.quality.settings import QualitySettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("quality", settings, steps)


def settings() -> type[QualitySettings]:
    """See ``analysis.command.run``."""
    from analysis.quality.settings import QualitySettings

    return QualitySettings


def steps() -> Analysis[QualitySettings, QualityResult]:
    """See ``analysis.command.run``."""
    from analysis.quality.files import write
    from analysis.quality.measure import measure
    from analysis.quality.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
