"""Which layers take part: the tables ``models`` and ``layers`` as one flat view, and conditions on it.

The flat view has a row per layer. The models' columns keep their names; a layers' column of the same name (``name``,
``num_filters``) becomes ``layer_name``, ``layer_num_filters``. One column is added: ``model_label``, the model's name,
and where several models of the store bear it, ``name [model_id]``.
"""

from __future__ import annotations

from collections import Counter

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.wording import count, one_line
from distributed.errors import UserError


def flat_view(models: pa.Table, layers: pa.Table) -> pa.Table:
    """One row per layer of a model that is in ``models``, ordered by ``layer_id``; see the module for its columns."""
    names = models.column("name").to_pylist()
    often = Counter(names)
    keys = models.column("model_id").to_pylist()
    labels = [f"{name} [{key}]" if often[name] > 1 else name for key, name in zip(keys, names, strict=True)]
    models = models.append_column("model_label", pa.array(labels, pa.string()))
    taken = set(models.column_names)
    layers = layers.rename_columns(
        [f"layer_{name}" if name in taken and name != "model_id" else name for name in layers.column_names]
    )
    row_of_model = {model_id: row for row, model_id in enumerate(keys)}
    owner = np.array([row_of_model.get(m, -1) for m in layers.column("model_id").to_pylist()], dtype=np.int64)
    order = np.argsort(layers.column("layer_id").to_numpy(), kind="stable")
    order = order[owner[order] >= 0]
    # Take, not join: Arrow's join drops nested columns, and a condition may well ask for kernel_shapes['3x3'].
    flat = models.take(pa.array(owner[order]))
    ordered = layers.drop_columns(["model_id"]).take(pa.array(order))
    for field, column in zip(ordered.schema, ordered.columns, strict=True):
        flat = flat.append_column(field, column)
    return flat


def select_layers(flat: pa.Table, where: str | None) -> pa.Table:
    """The rows of a flat view for which ``where``, one boolean SQL expression (DuckDB's), is true.

    The expression sees the flat view and nothing else: no files, no network, no second statement.

    Raises:
        UserError: it is no boolean expression, names an unknown column, fails on a value, or leaves no filter.
    """
    if where is None or not where.strip():
        return flat
    limits: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "lock_configuration": "true",
    }
    numbered = flat.append_column("__row", pa.array(np.arange(flat.num_rows)))
    with duckdb.connect(":memory:", config=limits) as connection:
        connection.register("flat", numbered)
        view = connection.sql("SELECT * FROM flat")
        try:
            # filter() takes exactly one expression: further statements, clauses and set operations do not parse.
            chosen = view.filter(where)
            kinds = [str(kind) for kind in view.project(where).types]
            if kinds != ["BOOLEAN"]:
                raise UserError(
                    f"where={where!r} is of type {'/'.join(kinds)}, not a condition: compare it with something"
                )
            rows = chosen.project("__row").to_arrow_table().column(0).to_numpy()
        except duckdb.Error as error:
            raise UserError(f"where={where!r} cannot be evaluated: {_reason(error, flat)}") from error
    selected = flat.take(pa.array(np.sort(rows)))
    if filters_in(selected) == 0:
        raise UserError(
            f"where={where!r} leaves no filter of {count(flat.num_rows, 'layer')}: "
            "loosen it, or look at the values with any Parquet reader"
        )
    return selected


def _reason(error: duckdb.Error, flat: pa.Table) -> str:
    reason = one_line(str(error).split("\n", 1)[0])
    if isinstance(error, duckdb.BinderException) and "not found" in reason:
        reason += f" Columns: {', '.join(sorted(flat.column_names))}"
    return reason


def models_in(flat: pa.Table) -> int:
    """Number of different models among the rows of a flat view."""
    return int(pc.count_distinct(flat.column("model_id")).as_py())


def filters_in(flat: pa.Table) -> int:
    """Number of filters in the layers of a flat view."""
    return int(pc.sum(flat.column("layer_num_filters")).as_py() or 0)
