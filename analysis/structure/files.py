"""The files of ``analysis.structure.measure``: tables, JSON, pictures."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.measures.eigenfilters import Agreement, Structure, agreement_between
from analysis.output.files import Outputs
from analysis.pictures.eigenfilters import Caption, draw_cumulative, draw_eigenfilters
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.selection.grouping import Grouping
from analysis.shift.files import file_stem
from analysis.wording import count


@dataclass(frozen=True, slots=True, eq=False)
class AxisStructure:
    """The structure of each group of one axis, in the grouping's order, and the agreement of every two of them."""

    grouping: Grouping
    structures: tuple[Structure, ...]
    agreement: Agreement
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StructureReport:
    """What one run found.

    Attributes:
        whole: of all filters of the store.
        selection: of those that ``where`` chooses; None without ``where``.
        axes: one per axis, in the order asked.
        where: the condition.
        subspace: number of leading components compared.
        uri: of the store.
    """

    whole: Structure
    selection: Structure | None
    axes: tuple[AxisStructure, ...]
    where: str | None
    subspace: int
    uri: str


def components_table(axis: AxisStructure, whole: Structure) -> pa.Table:
    """A row per group and component: ``axis, group, label, models, layers, filters, few_filters, component`` (1 … 9),
    ``variance, explained_variance_ratio, cumulative, separated, store_cosine`` (|cos| to the store's component of this
    rank), ``c0 … c8`` (its entries, row-major). Null where there is no such component.
    """
    cosines = agreement_between([whole], axis.structures, 1).cosines[0]
    rows: list[dict[str, Any]] = []
    for structure, cosine in zip(axis.structures, cosines, strict=True):
        for index in range(9):
            entries = structure.principal.components[index] if structure.directed[index] else None  # type: ignore[union-attr]
            rows.append(
                {
                    **_heading(axis.grouping.axis, structure),
                    "component": index + 1,
                    "variance": _known(structure.ratio[index] * structure.total_variance),
                    "explained_variance_ratio": _known(structure.ratio[index]),
                    "cumulative": _known(structure.cumulative[index]),
                    "separated": bool(structure.separated[index]),
                    "store_cosine": _known(cosine[index]),
                    **{f"c{i}": None if entries is None else float(entries[i]) for i in range(9)},
                }
            )
    floats = ["variance", "explained_variance_ratio", "cumulative", "store_cosine", *(f"c{i}" for i in range(9))]
    return _typed(pa.Table.from_pylist(rows), floats)


def moments_table(axis: AxisStructure, whole: Structure) -> pa.Table:
    """A row per group: ``axis, group, label, models, layers, filters, few_filters, total_variance, store_agreement,
    mean`` (list of 9), ``covariance`` (list of 81, row-major; null for one filter).
    """
    agreement = agreement_between([whole], axis.structures, 1).agreement[0]
    rows = [
        {
            **_heading(axis.grouping.axis, structure),
            "total_variance": _known(structure.total_variance),
            "store_agreement": _known(agrees),
            "mean": structure.moments.mean.tolist(),
            "covariance": structure.moments.covariance.ravel().tolist() if structure.moments.count > 1 else None,
        }
        for structure, agrees in zip(axis.structures, agreement, strict=True)
    ]
    table = _typed(pa.Table.from_pylist(rows), ["total_variance", "store_agreement"])
    place = table.schema.get_field_index("covariance")
    return table.set_column(place, "covariance", table.column("covariance").cast(pa.list_(pa.float64())))


def agreement_table(axis: AxisStructure) -> pa.Table:
    """Every ordered pair: ``a, b, agreement, subspace_similarity, angle_1 … angle_k`` (degrees), ``cos_1 … cos_9``,
    ``filters_a, filters_b, models_a, models_b, few_filters`` (in either). Null where a direction is missing.
    """
    number = len(axis.structures)
    first, second = np.repeat(np.arange(number), number), np.tile(np.arange(number), number)
    names = pa.array([structure.group.name for structure in axis.structures], pa.string())
    columns: dict[str, Any] = {"a": names.take(pa.array(first)), "b": names.take(pa.array(second))}
    agreement = axis.agreement

    def add(name: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        columns[name] = pa.array(values.ravel(), pa.float64(), from_pandas=True)

    add("agreement", agreement.agreement)
    add("subspace_similarity", agreement.similarity)
    for index in range(agreement.angles.shape[-1]):
        add(f"angle_{index + 1}", agreement.angles[..., index])
    for index in range(9):
        add(f"cos_{index + 1}", agreement.cosines[..., index])
    for size in ("filters", "models"):
        sizes = np.array([getattr(structure.group, size) for structure in axis.structures], dtype=np.int64)
        columns[f"{size}_a"], columns[f"{size}_b"] = pa.array(sizes[first]), pa.array(sizes[second])
    few = np.array([structure.few_filters for structure in axis.structures])
    columns["few_filters"] = pa.array(few[first] | few[second])
    return pa.table(columns)


def structure_json(report: StructureReport) -> str:
    """The structure of the whole store, and of the selection if there is one, to the last bit."""
    content = {
        "store": report.uri,
        "scaling": "max_abs",
        "whole": _described(report.whole),
        "where": report.where,
        "selection": _described(report.selection) if report.selection else None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_structure(report: StructureReport, folder: Path) -> str:
    """Write everything into ``folder``; returns the line that says where.

    Raises:
        UserError: the disk refuses.
    """
    outputs = Outputs(folder)
    outputs.text("structure.json", structure_json(report))
    for axis in report.axes:
        name, stem = axis.grouping.axis, file_stem(axis.grouping.axis)
        about = {"axis": name, "store": report.uri, "where": report.where or "", "notes": "\n".join(axis.notes)}
        outputs.parquet(f"structure_{stem}", components_table(axis, report.whole), about)
        outputs.parquet(f"moments_{stem}", moments_table(axis, report.whole), about)
        outputs.parquet(
            f"agreement_{stem}",
            agreement_table(axis),
            about
            | {"agreement": "sum over components of the mean EVR of both times |cos| (Eros, Yang & Shahabi 2004)"},
        )
        labels = [structure.group.label for structure in axis.structures]
        rows = zip(labels, axis.agreement.agreement.tolist(), strict=True)
        outputs.csv(f"agreement_{stem}", [name, *labels], [[label, *map(_known, row)] for label, row in rows])
        _write_pictures(report, axis, outputs, stem)
    return outputs.line()


def _write_pictures(report: StructureReport, axis: AxisStructure, outputs: Outputs, stem: str) -> None:
    name = axis.grouping.axis
    sizes = (
        count(len(axis.structures), "group"),
        count((report.selection or report.whole).group.models, "model"),
        count(sum(structure.moments.count for structure in axis.structures), "filter"),
    )
    remarks = (" · ".join(sizes), *([f"where {report.where}"] if report.where else []), *axis.notes)
    rows = [report.whole, *([report.selection] if report.selection else []), *axis.structures]
    title = f"Eigenfilters by {name}"
    outputs.picture(f"eigenfilters_{stem}", draw_eigenfilters(rows, Caption(title, remarks)), title)
    title = f"Cumulative variance by {name}"
    curves = draw_cumulative(report.whole, axis.structures, Caption(title, remarks))
    outputs.picture(f"cumulative_{stem}", curves, title)
    known = [index for index, structure in enumerate(axis.structures) if structure.principal is not None]
    if not known:  # nothing has a direction; the notes say so
        return
    few = np.array([axis.structures[index].few_filters for index in known])
    title = f"Disagreement of eigenfilters by {name}"
    heatmap = Heatmap(
        labels=[axis.structures[index].group.label for index in known],
        values=np.maximum(1.0 - axis.agreement.agreement[np.ix_(known, known)], 0.0),
        title=title,
        remarks=[
            "0: the same components in the same order; 1: none alike",
            *(["hatched: fewer than ten filters in one of the two"] if few.any() else []),
            *remarks,
        ],
        unit="1 − agreement (variance-weighted |cos|)",
        hatched=few[:, None] | few[None],
    )
    outputs.picture(f"agreement_{stem}", draw_heatmap(heatmap), title)


def _heading(axis: str, structure: Structure) -> dict[str, Any]:
    group = structure.group
    return {
        "axis": axis,
        "group": group.name,
        "label": group.label,
        "models": group.models,
        "layers": group.layers,
        "filters": structure.moments.count,
        "few_filters": structure.few_filters,
    }


def _described(structure: Structure) -> dict[str, Any]:
    group, principal = structure.group, structure.principal
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
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _typed(table: pa.Table, columns: list[str]) -> pa.Table:
    """``columns`` as float64, also where every value is null."""
    for name in columns:
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, table.column(name).cast(pa.float64()))
    return table
