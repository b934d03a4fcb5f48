"""The command ``python -m analysis.pairs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.pairs.measure import PairsResult
    from analysis.pairs.settings import PairsSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("pairs", settings, steps)


def settings() -> type[PairsSettings]:
    """See ``analysis.command.run``."""
    from analysis.pairs.settings import PairsSettings

    return PairsSettings


def steps() -> Analysis[PairsSettings, PairsResult]:
    """See ``analysis.command.run``."""
    from analysis.pairs.files import write
    from analysis.pairs.measure import measure
    from analysis.pairs.offers import show_offers
    from analysis.pairs.terminal import show

    return Analysis(measure, write, show, show_offers)


if __name__ == "__main__":
    main()
