"""Which layer belongs to which group: axes, conditions, labels. Filters themselves are never touched.

An axis is a column of the flat view of models and layers (``analysis.selection.conditions``) or one of three that are computed:
``depth`` (deciles of ``conv_depth_norm``), ``model`` (each model by itself), ``layer`` (each layer by itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.types import Int64
from analysis.selection.conditions import filters_in, models_in
from analysis.wording import count, one_line
from distributed.errors import UserError

#: Axes that are computed, before the columns.
COMPUTED_AXES = ("depth", "model", "layer")

#: A float column with more different values than this is a measurement, not a grouping.
MAX_FLOAT_GROUPS = 50

DEPTH_EDGES = np.arange(1, 10) / 10  # 0.1 … 0.9; k/10 as the nearest double, as is every quotient of two depths
DEPTH_NAMES = ("[0.0, 0.1]", *(f"({k / 10:.1f}, {(k + 1) / 10:.1f}]" for k in range(1, 10)))


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an axis. ``label`` is for eyes: ``name (number of models)``, or the name of a model or layer."""

    name: str
    label: str
    filters: int
    layers: int
    models: int


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The groups of one axis and the layers in them.

    Attributes:
        axis: its name.
        groups: (G,) in the order of the matrix: by name, numbers and deciles by value, layers by model and depth.
        layer_ids: (N,) int64, the layers that have a group.
        codes: (N,) int64, 0 … G-1, the group of each of them.
        notes: what was left out and what to beware of, one sentence each.
    """

    axis: str
    groups: tuple[Group, ...]
    layer_ids: Int64
    codes: Int64
    notes: tuple[str, ...] = ()


def axes_of(flat: pa.Table) -> list[str]:
    """Names of every axis that can group the rows of a flat view."""
    columns = [field.name for field in flat.schema if _is_scalar(field.type) and field.name not in COMPUTED_AXES]
    return [*COMPUTED_AXES, *columns]


def group_layers(flat: pa.Table, axis: str, *, max_groups: int) -> Grouping:
    """The groups of ``axis`` among the layers of a (selected) flat view.

    Layers without a value, and groups without a filter, are left out and counted in ``notes``.

    Raises:
        UserError: there is no such axis (the message lists them), its values cannot group, it is null everywhere, or
            there are more than ``max_groups`` groups.
    """
    names, codes = _codes_of(flat, axis)
    if not len(names):
        raise UserError(
            f"axis {axis!r} is null for all of {count(models_in(flat), 'model')} "
            "(after where, if given): choose another axis"
        )
    if len(names) > max_groups:
        raise UserError(
            f"axis {axis!r} has {len(names)} groups, more than max_groups={max_groups}: restrict them with where=…, "
            "or raise max_groups (the matrix has their square)"
        )
    sizes = flat.column("layer_num_filters").to_numpy().astype(np.int64)
    filters = _sums(codes, sizes, len(names))
    notes = _notes_on_nulls(flat, axis, codes)
    if not filters.all():
        empty = ", ".join(one_line(names[index]) for index in np.flatnonzero(filters == 0))
        notes.append(f"{axis}: left out, they hold no filter: {empty}")
        kept = np.cumsum(filters > 0) - 1
        codes = np.where((codes >= 0) & (filters[codes] > 0), kept[codes], -1)
        names = [name for name, size in zip(names, filters, strict=True) if size]
        filters = filters[filters > 0]
    if not names:
        raise UserError(f"axis {axis!r}: no group holds a filter: choose another axis or where")
    if len(names) == 1:
        notes.append(f"{axis}: one group only, {one_line(names[0])}: there is nothing to compare it with")
    grouped = np.flatnonzero(codes >= 0)
    codes = codes[grouped]
    models = _models_per_group(codes, _model_codes(flat)[grouped], len(names))
    layers = np.bincount(codes, minlength=len(names))
    counted = axis not in ("model", "model_id", "layer", "layer_id")
    groups = tuple(
        Group(
            name=name,
            label=f"{one_line(name)} ({models[g]})" if counted else one_line(name),
            filters=int(filters[g]),
            layers=int(layers[g]),
            models=int(models[g]),
        )
        for g, name in enumerate(names)
    )
    layer_ids = flat.column("layer_id").to_numpy()[grouped].astype(np.int64)
    return Grouping(axis, groups, layer_ids, codes.astype(np.int64), tuple(notes))


def _codes_of(flat: pa.Table, axis: str) -> tuple[list[str], Int64]:
    """Names of the groups in order, and the group of each row, -1 for none."""
    if axis == "depth":
        return _deciles(flat)
    if axis == "model":
        return _by_model(flat)
    if axis == "layer":
        return _by_layer(flat)
    if axis not in flat.column_names:
        raise UserError(f"there is no axis {axis!r}; there are: {', '.join(axes_of(flat))}")
    column = flat.column(axis)
    if not _is_scalar(column.type):
        raise UserError(
            f"axis {axis!r} cannot group: its values are of type {column.type}; "
            f"axes that can: {', '.join(axes_of(flat))}"
        )
    return _by_value(axis, column)


def _by_value(axis: str, column: pa.ChunkedArray) -> tuple[list[str], Int64]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return [], np.full(len(column), -1, dtype=np.int64)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    encoded = pc.dictionary_encode(column.combine_chunks())
    values: list[Any] = encoded.dictionary.to_pylist()
    if pa.types.is_floating(column.type) and len(values) > MAX_FLOAT_GROUPS:
        raise UserError(
            f"axis {axis!r} cannot group: a measurement with {len(values)} different values (at most "
            f"{MAX_FLOAT_GROUPS} group); use it in where=… instead"
            + (", or depth" if axis == "conv_depth_norm" else "")
        )
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    order = sorted(
        range(len(values)), key=lambda i: values[i] if numeric else (str(values[i]).casefold(), str(values[i]))
    )
    rank = np.empty(len(values) + 1, dtype=np.int64)
    rank[order] = np.arange(len(values))
    rank[-1] = -1  # where the index is null
    return [_name_of(values[i]) for i in order], rank[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _deciles(flat: pa.Table) -> tuple[list[str], Int64]:
    depth = flat.column("conv_depth_norm").to_numpy()
    wrong = np.flatnonzero(~((depth >= 0) & (depth <= 1)))
    if wrong.size:
        layer = flat.column("layer_name")[int(wrong[0])].as_py()
        model = flat.column("name")[int(wrong[0])].as_py()
        raise UserError(
            f"layer {layer!r} of model {model!r} has conv_depth_norm {depth[wrong[0]]}, outside 0 … 1: "
            "its layers file is damaged; remove the model's files from the store and extract it again"
        )
    decile = np.searchsorted(DEPTH_EDGES, depth, side="left")  # the number of edges below: intervals closed above
    present, codes = np.unique(decile, return_inverse=True)
    return [DEPTH_NAMES[index] for index in present], codes.astype(np.int64)


def _by_model(flat: pa.Table) -> tuple[list[str], Int64]:
    codes = _model_codes(flat)
    labels: dict[int, str] = dict(zip(codes.tolist(), flat.column("model_label").to_pylist(), strict=True))
    order = sorted(labels, key=lambda code: (labels[code].casefold(), labels[code]))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels))
    return [labels[code] for code in order], rank[codes]


def _by_layer(flat: pa.Table) -> tuple[list[str], Int64]:
    _, by_model = _by_model(flat)
    depth, index = (flat.column(name).to_numpy() for name in ("conv_depth", "layer_index"))
    order = np.lexsort((index, depth, by_model))
    codes = np.empty(flat.num_rows, dtype=np.int64)
    codes[order] = np.arange(flat.num_rows)
    models, layers = (flat.column(name).to_pylist() for name in ("model_label", "layer_name"))
    return [f"{models[row]}: {layers[row]}" for row in order], codes


def _model_codes(flat: pa.Table) -> Int64:
    """(N,) the model of each row as a number, in order of ``model_id``."""
    ids = np.array(flat.column("model_id").to_pylist(), dtype=object).astype(str)
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


def _notes_on_nulls(flat: pa.Table, axis: str, codes: Int64) -> list[str]:
    missing = flat.filter(pa.array(codes < 0))
    if not missing.num_rows:
        return []
    return [
        f"{axis}: left out, no value: {count(models_in(missing), 'model')} of {models_in(flat)} "
        f"({count(missing.num_rows, 'layer')}, {count(filters_in(missing), 'filter')})"
    ]


def _models_per_group(codes: Int64, models: Int64, groups: int) -> Int64:
    pairs = np.unique(np.stack([codes, models]), axis=1)
    return np.bincount(pairs[0], minlength=groups).astype(np.int64)


def _sums(codes: Int64, sizes: Int64, groups: int) -> Int64:
    total = np.zeros(groups, dtype=np.int64)
    np.add.at(total, codes[codes >= 0], sizes[codes >= 0])
    return total


def _is_scalar(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def emptied_groups(flat: pa.Table, selected: pa.Table, axis: str) -> tuple[str, ...]:
    """What to note about groups of ``axis`` that have layers in ``flat`` but none in ``selected`` (none: empty)."""
    if axis in ("model", "layer"):
        return ()
    before, after = (_deciles(t)[0] if axis == "depth" else _values(t.column(axis)) for t in (flat, selected))
    gone = [name for name in before if name not in set(after)]
    if not gone:
        return ()
    named = ", ".join(one_line(name) for name in gone[:10]) + (" …" if len(gone) > 10 else "")
    return (f"{axis}: where leaves no filter in {len(gone)} of {len(before)} groups: {named}",)


def _values(column: pa.ChunkedArray) -> list[str]:
    return sorted(_name_of(value) for value in pc.unique(column).drop_null().to_pylist())
