"""The command ``python -m analysis.structure``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.command import Analysis, run
from analysis.structure.settings import StructureSettings

if TYPE_CHECKING:
    from analysis.structure.measure import StructureResult


def steps() -> Analysis[StructureSettings, StructureResult]:
    """See ``analysis.command``."""
    from analysis.structure.files import write
    from analysis.structure.measure import measure
    from analysis.structure.terminal import show

    return Analysis(measure, write, show)


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run("structure", StructureSettings, steps)


if __name__ == "__main__":
    main()
