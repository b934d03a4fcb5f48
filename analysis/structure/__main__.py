"""The command ``python -m analysis.structure``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run

if TYPE_CHECKING:
    from analysis.structure.measure import StructureResult
    from analysis.structure.settings import StructureSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("structure", settings, steps)


def settings() -> type[StructureSettings]:
    """See ``analysis.command.run``."""
    from analysis.structure.settings import StructureSettings

    return StructureSettings


def steps() -> Analysis[StructureSettings, StructureResult]:
    """See ``analysis.command.run``."""
    from analysis.structure.files import write
    from analysis.structure.measure import measure
    from analysis.structure.terminal import show

    return Analysis(measure, write, show)


if __name__ == "__main__":
    main()
