"""Which layers take part: conditions in SQL on the flat view of models and layers (``analysis.selection.view``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.wording import count, one_line, shown
from distributed.errors import UserError
from distributed.suggestions import did_you_mean

if TYPE_CHECKING:
    import duckdb

#: Axes that are no columns → what says the same in a condition.
_COMPUTED = {
    "depth": "conv_depth (whole) or conv_depth_norm (0 … 1)",
    "depth_first": "conv_depth (whole) or conv_depth_norm (0 … 1)",
    "model": "name or model_label",
    "layer": "layer_name",
}


def select_layers(flat: pa.Table, where: str | None, *, setting: str = "where") -> pa.Table:
    """The rows of a flat view for which ``where``, one boolean SQL expression (DuckDB's), is true.

    The expression sees the flat view and nothing else: no files, no network, no second statement. ``setting`` is what
    people know it by.

    Raises:
        UserError: it is no boolean expression, names an unknown column, fails on a value, or leaves no filter.
    """
    if where is None or not where.strip():
        return flat
    import duckdb  # .2 s, and most commands have no condition

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
                    f"{setting}={where!r} is of type {'/'.join(kinds)}, not a condition: compare it with something"
                )
            rows = chosen.project("__row").to_arrow_table().column(0).to_numpy()
        except duckdb.Error as error:
            raise UserError(f"{setting}={where!r} cannot be evaluated: {_reason(error, flat)}") from error
    selected = flat.take(pa.array(np.sort(rows)))
    if not (pc.sum(selected.column("layer_num_filters")).as_py() or 0):
        raise UserError(
            f"{setting}={where!r} leaves no filter of {count(flat.num_rows, 'layer')}: "
            "loosen it, or look at the values with any Parquet reader"
        )
    return selected


def _reason(error: duckdb.Error, flat: pa.Table) -> str:
    """What DuckDB says; of an unknown column what may be meant, and the columns."""
    import duckdb

    reason = one_line(str(error).split("\n", 1)[0])
    unknown = re.search(r'Referenced column "(.*)" not found', reason)
    if not isinstance(error, duckdb.BinderException) or unknown is None:
        return reason
    name = unknown[1]
    if name in _COMPUTED:
        meant = f"; {name} is an axis, not a column: use {_COMPUTED[name]}"
    else:
        meant = (
            did_you_mean(name, flat.column_names) or f"; a text stands in single quotes, as in task = '{shown(name)}'"
        )
    return f"there is no column {shown(name)!r}{meant} (there are: {', '.join(sorted(flat.column_names))})"
