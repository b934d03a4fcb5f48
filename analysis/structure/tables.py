"""What structure is as tables: a row per component, per group, per pair of groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float64
from analysis.measures.eigenfilters import Structure, agreement_between
from analysis.measures.symmetry import SYMMETRIES
from analysis.structure.measure import AxisStructure


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
                    "variance": known(structure.ratio[index] * structure.total_variance),
                    "explained_variance_ratio": known(structure.ratio[index]),
                    "cumulative": known(structure.cumulative[index]),
                    "separated": bool(structure.separated[index]),
                    "store_cosine": known(cosine[index]),
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
            "total_variance": known(structure.total_variance),
            "store_agreement": known(agrees),
            "mean": structure.moments.mean.tolist(),
            "covariance": structure.moments.covariance.ravel().tolist() if structure.moments.count > 1 else None,
        }
        for structure, agrees in zip(axis.structures, agreement, strict=True)
    ]
    table = _typed(pa.Table.from_pylist(rows), ["total_variance", "store_agreement"])
    place = table.schema.get_field_index("covariance")
    return table.set_column(place, "covariance", table.column("covariance").cast(pa.list_(pa.float64())))


def symmetry_table(axis: str, structures: Sequence[Structure]) -> pa.Table:
    """A row per structure: ``axis, group, label, models, layers, filters, few_filters, energy`` (mean |f|² of the
    scaled filters), shares of it: ``odd_rotation, odd_left_right, odd_up_down, antisymmetric``, ``dct_00 … dct_22``
    (half waves down, across). Null where all filters are zero.
    """
    rows = []
    for structure in structures:
        found = structure.symmetry
        dct = {f"dct_{u}{v}": found.dct[u, v] for u in range(3) for v in range(3)}
        rows.append({**_heading(axis, structure), "energy": found.energy, **_all_known({**found.odd, **dct})})
    return _typed(pa.Table.from_pylist(rows), [*SYMMETRIES, *(f"dct_{u}{v}" for u in range(3) for v in range(3))])


def agreement_table(axis: AxisStructure) -> pa.Table:
    """Every ordered pair: ``a, b, agreement, subspace_similarity, angle_1 … angle_k`` (degrees), ``cos_1 … cos_9``,
    ``filters_a, filters_b, models_a, models_b, few_filters`` (in either). Null where a direction is missing.
    """
    number = len(axis.structures)
    first, second = np.repeat(np.arange(number), number), np.tile(np.arange(number), number)
    names = pa.array([structure.group.name for structure in axis.structures], pa.string())
    columns: dict[str, Any] = {"a": names.take(pa.array(first)), "b": names.take(pa.array(second))}
    agreement = axis.agreement

    def add(name: str, values: Float64) -> None:
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


def _all_known(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: known(value) for name, value in values.items()}


def known(value: float) -> float | None:
    """Null for a number that does not exist."""
    return None if math.isnan(value) else float(value)


def _typed(table: pa.Table, columns: list[str]) -> pa.Table:
    """``columns`` as float64, also where every value is null."""
    for name in columns:
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, table.column(name).cast(pa.float64()))
    return table
