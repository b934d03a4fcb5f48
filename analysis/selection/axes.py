"""What can group layers: columns of the flat view of models and layers, and four axes that are computed.

``depth``: deciles of ``conv_depth_norm``; ``depth_first``: the first layer apart, then deciles of the others;
``model``: each model by itself; ``layer``: each layer by itself. Axes can be crossed: the groups of ``task*depth`` are
the pairs that occur.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.types import Int64
from analysis.settings import Unit
from distributed.errors import UserError
from distributed.records import LAYERS_SCHEMA, MODELS_SCHEMA
from distributed.suggestions import did_you_mean

#: Axes that are computed, before the columns.
COMPUTED_AXES = ("depth", "depth_first", "model", "layer")

#: Of these the groups have an order of their own.
DEPTH_AXES = frozenset({"depth", "depth_first"})

#: Axes whose groups are one model each, or part of one: there is nothing to resample, and nothing to flag.
SINGLE_MODEL_AXES = frozenset({"model", "model_id", "model_label", "layer", "layer_id"})

#: Between the names of axes that are crossed.
CROSS = "*"

#: A float column with more different values than this is a measurement, not a grouping.
MAX_FLOAT_GROUPS = 50

DEPTH_EDGES = np.arange(1, 10) / 10  # 0.1 … 0.9; k/10 as the nearest double, as is every quotient of two depths
FIRST_LAYER = "first layer"
DEPTH_NAMES = ("[0.0, 0.1]", *(f"({k / 10:.1f}, {(k + 1) / 10:.1f}]" for k in range(1, 10)))

#: Columns of ``models`` by what they say of a model; those that stand nowhere say something else.
_SAID: Mapping[str, tuple[str, ...]] = {
    "training": ("training_dataset", "pretraining_dataset", "recipe", "resolution", "license", "paper"),
    "files": (
        *("model_id", "reference_key", "source", "uri", "revision", "file", "format", "sha256", "variant"),
        *("bytes_read", "bytes_total", "extracted_at", "tool_version"),
    ),
}


class EmptyAxisError(UserError):
    """The axis is there, but no layer that takes part has a value on it."""


def axes_of(flat: pa.Table) -> list[str]:
    """Names of every axis that can group the rows of a flat view."""
    columns = [field.name for field in flat.schema if _is_scalar(field.type) and field.name not in COMPUTED_AXES]
    return [*COMPUTED_AXES, *columns]


def axes_in_words(flat: pa.Table) -> str:
    """``axes_of`` by what they say: ``computed: depth, …; of models: task, …; of layers: …``."""
    of_layers = {f"layer_{name}" if name in MODELS_SCHEMA.names else name for name in LAYERS_SCHEMA.names}
    parts: dict[str, list[str]] = {"computed": [], "of models": [], "of training": [], "of layers": [], "of files": []}
    for axis in axes_of(flat):
        said = next((f"of {what}" for what, names in _SAID.items() if axis in names), None)
        kind = "computed" if axis in COMPUTED_AXES else said or ("of layers" if axis in of_layers else "of models")
        parts[kind].append(axis)
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in parts.items() if names)


def codes_on(flat: pa.Table, axis: str) -> tuple[list[str], Int64]:
    """Names of the groups in order, and (N,) the group of each row of a flat view, -1 for none.

    Raises:
        UserError: there is no such axis (the message names the nearest, and all), or its values cannot group.
    """
    if axis == "depth":
        return deciles(flat)
    if axis == "depth_first":
        return _first_and_deciles(flat)
    if axis == "model":
        return _by_model(flat)
    if axis == "layer":
        return _by_layer(flat)
    if axis not in flat.column_names:
        if CROSS in axis:
            return _crossed(flat, parts_of(axis))
        raise UserError(f"there is no axis {axis!r}{_meant(axis, flat)} (there are: {axes_in_words(flat)})")
    column = flat.column(axis)
    if not _is_scalar(column.type):
        raise UserError(
            f"axis {axis!r} cannot group: its values are of type {column.type}; axes that can: {axes_in_words(flat)}"
        )
    return _by_value(axis, column)


def deciles(flat: pa.Table) -> tuple[list[str], Int64]:
    """See ``codes_on``: the axis ``depth``.

    Raises:
        UserError: a depth is outside 0 … 1.
    """
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


def _first_and_deciles(flat: pa.Table) -> tuple[list[str], Int64]:
    """See ``codes_on``: the axis ``depth_first``, as the robustness paper groups (arXiv 2204.02481)."""
    names, codes = deciles(flat)
    first = flat.column("conv_depth").to_numpy() == 0
    kept = np.unique(codes[~first])
    # Without the first layer the lowest decile is open below.
    shown = ["(0.0, 0.1]" if names[code] == DEPTH_NAMES[0] else names[code] for code in kept]
    if not first.any():
        return shown, np.searchsorted(kept, codes).astype(np.int64)
    return [FIRST_LAYER, *shown], np.where(first, 0, 1 + np.searchsorted(kept, codes)).astype(np.int64)


def parts_of(axis: str) -> list[str]:
    """The axes that are crossed in this one; itself where none are."""
    return [part.strip() for part in axis.split(CROSS)]


def is_single(axis: str) -> bool:
    """Whether each group of the axis is one model, or part of one."""
    return not SINGLE_MODEL_AXES.isdisjoint(parts_of(axis))


def _crossed(flat: pa.Table, parts: Sequence[str]) -> tuple[list[str], Int64]:
    """Pairs (triples …) of groups that occur, in the order of the first axis, then of the second."""
    found = [codes_on(flat, part) for part in parts]
    sizes = [max(1, len(names)) for names, _ in found]
    known = np.all([codes >= 0 for _, codes in found], axis=0)
    together = np.ravel_multi_index([np.maximum(codes, 0) for _, codes in found], sizes)
    present, codes = np.unique(together[known], return_inverse=True)
    result = np.full(flat.num_rows, -1, np.int64)
    result[known] = codes
    places = np.unravel_index(present, sizes)
    return [" × ".join(found[i][0][at[k]] for i, at in enumerate(places)) for k in range(len(present))], result


def _meant(axis: str, flat: pa.Table) -> str:
    """What a wrong axis may be meant to be."""
    known = axes_of(flat)
    crossed = re.split(r"\s+(?:x|×|by)\s+", axis)
    if len(crossed) > 1 and all(part in known for part in crossed):
        return f"; crossed axes are written {CROSS.join(crossed)}"
    return did_you_mean(axis, known)


def values_on(flat: pa.Table, axis: str) -> list[str]:
    """Names of the groups of ``axis`` that occur, in order of their names, those without a filter included."""
    if axis not in flat.column_names or axis in DEPTH_AXES:
        return codes_on(flat, axis)[0]
    return sorted(_name_of(value) for value in pc.unique(flat.column(axis)).drop_null().to_pylist())


def model_codes(flat: pa.Table) -> Int64:
    """(N,) the model of each row as a number, in order of ``model_id``."""
    ids = np.array(flat.column("model_id").to_pylist(), dtype=object).astype(str)
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


def unit_codes(flat: pa.Table, unit: Unit) -> Int64:
    """(N,) the unit of each row as a number 0 … U-1; a model whose ``lineage`` is null is a unit of its own."""
    models = model_codes(flat)
    if unit is Unit.model:
        return models
    names = flat.column("lineage").to_pylist()
    keys = [
        f"lineage {name}" if name is not None else f"model {code}"
        for name, code in zip(names, models.tolist(), strict=True)
    ]
    return np.unique(np.array(keys), return_inverse=True)[1].astype(np.int64)


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


def _by_model(flat: pa.Table) -> tuple[list[str], Int64]:
    codes = model_codes(flat)
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


def _is_scalar(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
