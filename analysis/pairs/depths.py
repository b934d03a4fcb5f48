"""Depths of models that are to be compared layer by layer.

The depth of a layer is known from the graph (``traced``, ``onnx``, ``published``), or, of a bare state dict, from its
order, which stretches it. Two files of one network would be compared across depths, and differ where they are the same.
Models whose layers bear the same names and shapes therefore take theirs from the one that knows them best.
"""

from __future__ import annotations

import pyarrow as pa

from analysis.wording import listed, shown

#: How depths are known, the best first.
_KNOWN = ("traced", "onnx", "published", "order")

_DEPTH = ("conv_depth", "conv_depth_norm")


def with_shared_depths(flat: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """A flat view in which models of the same layers have the same depths, and a note for each that lent them.

    Of several that know them equally well the first by ``model_id`` lends.
    """
    rows_of: dict[str, list[int]] = {}
    for row, model_id in enumerate(flat.column("model_id").to_pylist()):
        rows_of.setdefault(model_id, []).append(row)
    columns = (flat.column(name).to_pylist() for name in ("layer_name", "out_channels", "in_channels"))
    shapes = [str(shape) for shape in zip(*columns, strict=True)]
    alike: dict[tuple[str, ...], list[str]] = {}
    for model_id, rows in rows_of.items():
        rows.sort(key=lambda row: shapes[row])
        alike.setdefault(tuple(shapes[row] for row in rows), []).append(model_id)
    methods = flat.column("depth_method").to_pylist()
    depths = {column: flat.column(column).to_numpy().copy() for column in _DEPTH}
    labels, notes = flat.column("model_label").to_pylist(), []
    for models in alike.values():
        lent = rows_of[min(models, key=lambda each: (max(_rank(methods[row]) for row in rows_of[each]), each))]
        borrowers = []
        for model in models:
            own = rows_of[model]
            if any((depths[column][own] != depths[column][lent]).any() for column in _DEPTH):
                for column in _DEPTH:
                    depths[column][own] = depths[column][lent]
                borrowers.append(labels[own[0]])
        if borrowers:
            notes.append(
                f"layers stand as deep as in {shown(labels[lent[0]])}, which has the same: {listed(borrowers)}"
            )
    for column, values in depths.items():
        place = flat.schema.get_field_index(column)
        flat = flat.set_column(place, flat.schema.field(place), pa.array(values, flat.schema.field(place).type))
    return flat, tuple(notes)


def _rank(method: str) -> int:
    return _KNOWN.index(method) if method in _KNOWN else len(_KNOWN)
