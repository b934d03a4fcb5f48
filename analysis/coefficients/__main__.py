"""The command ``python -m analysis.coefficients``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.coefficients.settings import CoefficientsSettings
from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.coefficients.measure import CoefficientsResult


def steps() -> Analysis[CoefficientsSettings, CoefficientsResult]:
    """See ``analysis.command``."""
    from analysis.coefficients.files import write
    from analysis.coefficients.measure import measure
    from analysis.coefficients.terminal import show

    return Analysis(measure, write, show)


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("coefficients", CoefficientsSettings, steps)


if __name__ == "__main__":
    main()
