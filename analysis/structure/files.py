"""The files of ``analysis.structure``: tables, JSON, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.measures.eigenfilters import Structure
from analysis.output.files import Outputs
from analysis.output.names import file_stem
from analysis.structure.measure import StructureResult
from analysis.structure.pictures import drawings
from analysis.structure.tables import agreement_table, components_table, known, moments_table, symmetry_table


def write(result: StructureResult, folder: Path) -> list[Path]:
    """Write everything into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    with Outputs(folder, "structure") as outputs:
        outputs.text("structure.json", structure_json(result))
        for axis in result.axes:
            name, stem = axis.grouping.axis, file_stem(axis.grouping.axis)
            about = {"axis": name, "store": result.uri, "where": result.where or "", "notes": "\n".join(axis.notes)}
            outputs.parquet(f"structure_{stem}", components_table(axis, result.whole), about)
            outputs.parquet(f"moments_{stem}", moments_table(axis, result.whole), about)
            outputs.table(f"symmetry_{stem}", symmetry_table(name, [*result.standing, *axis.structures]), about)
            outputs.parquet(
                f"agreement_{stem}",
                agreement_table(axis),
                about
                | {"agreement": "sum over components of the mean EVR of both times |cos| (Eros, Yang & Shahabi 2004)"},
            )
            labels = [structure.group.label for structure in axis.structures]
            rows = zip(labels, axis.agreement.agreement.tolist(), strict=True)
            outputs.csv(f"agreement_{stem}", [name, *labels], [[label, *map(known, row)] for label, row in rows])
        outputs.pictures(drawings(result))
    return outputs.written


def structure_json(result: StructureResult) -> str:
    """The structure of the whole store, and of the selection if there is one, to the last bit."""
    content = {
        "store": result.uri,
        "scaling": "max_abs",
        "whole": _described(result.whole),
        "where": result.where,
        "selection": _described(result.selection) if result.selection else None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _described(structure: Structure) -> dict[str, Any]:
    group, principal, symmetry = structure.group, structure.principal, structure.symmetry
    enough = structure.moments.count > 1
    return {
        "name": group.name,
        "models": group.models,
        "layers": group.layers,
        "filters": structure.moments.count,
        "few_filters": structure.few_filters,
        "mean": structure.moments.mean.tolist(),
        "covariance": structure.moments.covariance.tolist() if enough else None,
        "components": principal.components.tolist() if principal else None,
        "explained_variance": (structure.ratio * structure.total_variance).tolist() if principal else None,
        "explained_variance_ratio": structure.ratio.tolist() if principal else None,
        "cumulative": structure.cumulative.tolist() if principal else None,
        "separated": structure.separated.tolist() if principal else None,
        "energy": symmetry.energy,
        "odd": {name: known(share) for name, share in symmetry.odd.items()},
        "dct": [[known(share) for share in row] for row in symmetry.dct.tolist()],
    }
