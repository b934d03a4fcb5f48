"""The files of ``analysis.partition``: tables and pictures."""

from __future__ import annotations

from pathlib import Path

from analysis.output.files import Outputs
from analysis.partition.measure import PartitionResult
from analysis.partition.pictures import drawings
from analysis.partition.tables import distances_table, partition_table, spread_table


def write(result: PartitionResult, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    settings = result.settings
    about = {
        "distance": result.distance,
        "strata": settings.strata or "",
        "unit": str(settings.unit),
        "basis": result.sketch.basis.digest,
        "where": result.where or "",
        "notes": "\n".join(result.notes),
    }
    with Outputs(folder, "partition") as outputs:
        outputs.table("confounding", result.confounding, about)
        outputs.table("partition", partition_table(result), about)
        middle = f"{settings.middle}, bias adjusted" if settings.bias_adjust else str(settings.middle)
        outputs.table("dispersion", spread_table(result), about | {"middle": middle})
        if settings.distances:
            outputs.parquet("distances", distances_table(result), about)
        outputs.pictures(drawings(result))
    return outputs.written
