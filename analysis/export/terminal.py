"""What an export came to, on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from analysis.export.files import Exported
from analysis.wording import count


def show(exported: Exported, console: Console) -> None:
    """One line: what, where, how large."""
    per_layer = exported.size / max(1, exported.extent.layers)
    console.print(
        Text(
            f"exported {exported.extent} to {exported.target}: {count(exported.files, 'file')}, "
            f"{exported.size / 1e6:,.1f} MB ({per_layer / 1e3:,.1f} kB a layer), {exported.seconds:.1f} s"
        ),
        soft_wrap=True,
    )
