"""The command ``python -m analysis.coefficients``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.coefficients.measure import CoefficientsResult
    from analysis.coefficients.settings import CoefficientsSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("coefficients", settings, steps)


def settings() -> type[CoefficientsSettings]:
    """See ``analysis.command.run``."""
    from analysis.coefficients.settings import CoefficientsSettings

    return CoefficientsSettings


def steps() -> Analysis[CoefficientsSettings, CoefficientsResult]:
    """See ``analysis.command.run``."""
    from analysis.coefficients.files import write
    from analysis.coefficients.measure import measure
    from analysis.coefficients.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
