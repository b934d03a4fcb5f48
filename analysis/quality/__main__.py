"""The command ``python -m analysis.quality``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run
from analysis.quality.settings import QualitySettings

if TYPE_CHECKING:
    from analysis.quality.measure import QualityResult


def steps() -> Analysis[QualitySettings, QualityResult]:
    """See ``analysis.command``."""
    from analysis.quality.files import write
    from analysis.quality.measure import measure
    from analysis.quality.terminal import show

    return Analysis(measure, write, show)


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("quality", QualitySettings, steps)


if __name__ == "__main__":
    main()
