"""The files of ``analysis.coefficients``: tables and pictures."""

from __future__ import annotations

from pathlib import Path

from analysis.coefficients.measure import CoefficientsResult
from analysis.coefficients.pictures import drawings
from analysis.output.files import Outputs
from analysis.output.names import file_stem


def write(result: CoefficientsResult, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    with Outputs(folder, "coefficients") as outputs:
        settings = result.settings
        about = {"store": result.uri, "where": settings.where or "", "basis": result.basis.digest}
        for axis in result.ridges:
            name = axis.grouping.axis
            more = about | {"axis": name, "weight": str(settings.weight), "notes": "\n".join(axis.notes)}
            outputs.table(f"ridges_{file_stem(name)}", axis.table(), more)
        for part in result.densities:
            stem, more = (
                file_stem(part.grouping.axis),
                about | {"axis": part.grouping.axis, "layers": settings.layers or ""},
            )
            outputs.parquet(f"densities_{stem}", part.table(), more)
            outputs.table(f"phenotypes_{stem}", part.phenotypes(), more)
        outputs.pictures(drawings(result))
    return outputs.written
