"""The command ``python -m analysis.export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distributed.entry import OK, run_command

if TYPE_CHECKING:
    from analysis.export.settings import ExportSettings


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run_command("export", settings, _export)


def settings() -> type[ExportSettings]:
    """See ``distributed.entry.run_command``."""
    from analysis.export.settings import ExportSettings

    return ExportSettings


def _export(chosen: ExportSettings) -> int:
    from rich.console import Console

    from analysis.export.files import export
    from analysis.export.terminal import show

    show(export(chosen), Console(highlight=False))
    return OK


if __name__ == "__main__":
    main()
