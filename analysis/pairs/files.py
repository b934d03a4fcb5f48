"""The files of ``analysis.pairs``: two tables, the basis, pictures."""

from __future__ import annotations

from pathlib import Path

from analysis.output.files import Outputs
from analysis.output.names import BASIS_FILE
from analysis.pairs.measure import PairsResult
from analysis.pairs.pictures import drawings
from analysis.pairs.tables import bins_table, pairs_table


def write(result: PairsResult, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    with Outputs(folder, "pairs") as outputs:
        settings = result.settings
        about = {
            "store": result.uri,
            "where": settings.where or "",
            "basis": result.basis.digest,
            "a": result.listing.sides[0],
            "b": result.listing.sides[1],
            "shared": str(settings.shared),
            "unit": str(settings.unit),
            "notes": "\n".join(result.notes),
        }
        outputs.text(BASIS_FILE, result.basis.to_json())
        outputs.table("pairs", pairs_table(result), about)
        outputs.table("bins", bins_table(result), about)
        outputs.pictures(drawings(result))
    return outputs.written
