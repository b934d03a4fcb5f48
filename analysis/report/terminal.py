"""What the report says on a terminal: where the page is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from analysis.output.terminal import print_closing
from analysis.report.measure import ReportResult


def show(result: ReportResult, paths: Sequence[Path], console: Console) -> None:
    """Axes that are not drawn, what the page is about, and where it lies."""
    page, *figures = paths
    print_closing(console, result, "", ())
    line = f"{page} ({page.stat().st_size / 1e6:.1f} MB), open it in a browser"
    if figures:
        line += f"; {len(figures)} pictures in {figures[0].parent}"
    console.print(Text(line), soft_wrap=True)
