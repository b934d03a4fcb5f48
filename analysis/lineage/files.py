"""The files of ``analysis.lineage``: tables and pictures."""

from __future__ import annotations

from pathlib import Path

from analysis.lineage.measure import LineageResult
from analysis.lineage.pictures import drawings
from analysis.output.files import Outputs


def write(result: LineageResult, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    about = {"store": result.uri, "where": result.where or "", "notes": "\n".join(result.notes)}
    with Outputs(folder, "lineage") as outputs:
        outputs.table("ties", result.ties, about)
        outputs.table("lineages", result.models, about)
        outputs.pictures(drawings(result))
    return outputs.written
