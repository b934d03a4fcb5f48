"""The files of ``analysis.shift``: the basis, the sketch, and three files an axis."""

from __future__ import annotations

from pathlib import Path

from analysis.output.files import Outputs
from analysis.output.names import BASIS_FILE, SKETCH_FILE, file_stem
from analysis.shift.measure import ShiftResult
from analysis.shift.pictures import drawings


def write(result: ShiftResult, folder: Path) -> list[Path]:
    """Write the basis, the sketch and three files an axis into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    with Outputs(folder, "shift") as outputs:
        outputs.text(BASIS_FILE, result.basis.to_json())
        outputs.file(SKETCH_FILE, result.sketch.to_parquet)
        for shift in result.shifts:
            stem = f"shift_{file_stem(shift.axis)}"
            about = {
                "axis": shift.axis,
                "divergence": shift.divergence,
                "basis": result.basis.digest,
                "where": result.where or "",
                "notes": "\n".join(shift.notes),
                "unit": shift.grouping.unit,
                "adjust": shift.adjust,
                **({} if shift.margin is None else {"margin": f"{shift.margin:g}"}),
            }
            outputs.parquet(stem, shift.pairs(), about)
            labels = [group.label for group in shift.groups]
            rows = [[label, *row] for label, row in zip(labels, shift.drift.tolist(), strict=True)]
            outputs.csv(stem, [shift.axis, *labels], rows)
        outputs.pictures(drawings(result))
    return outputs.written
