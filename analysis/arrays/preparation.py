"""What is done to filters before they are scaled: sparse ones left out, weights rounded. Nothing, unless asked for.

A filter is sparse if its nine |w| are all below max|layer| / 100 (DESIGN §4). Whether it is, is asked of the weights as
they are stored, before any rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float32, Float64, Int64
from analysis.settings import Filters, Rounding
from distributed.errors import StoreError
from distributed.formulas import sparse_below

#: Columns of ``layers`` → those of the filters that are not sparse.
_CLEAN = {"num_filters": "num_clean", "scaled_sum": "clean_sum", "scaled_gram": "clean_gram"}


@dataclass(frozen=True, slots=True)
class Preparation:
    """Which filters count, and how exactly. Two sketches are of the same filters only if this is equal.

    Attributes:
        filters: all of them, or the clean ones.
        rounding: of each weight, to nearest even.
    """

    filters: Filters = Filters.all
    rounding: Rounding = Rounding.none

    @property
    def identity(self) -> str:
        """``""`` for filters as they are stored, ``clean``, ``float16``, ``clean-float16``."""
        parts = (self.filters.value if self.is_clean else "", self.rounding.value if self.is_rounded else "")
        return "-".join(part for part in parts if part)

    @classmethod
    def of(cls, identity: str) -> Preparation:
        """The one of this ``identity``.

        Raises:
            ValueError: there is none.
        """
        for filters in Filters:
            for rounding in Rounding:
                if cls(filters, rounding).identity == identity:
                    return cls(filters, rounding)
        raise ValueError(f"there is no preparation {identity!r} of filters")

    @property
    def is_clean(self) -> bool:
        """Whether sparse filters are left out."""
        return self.filters is Filters.clean

    @property
    def is_rounded(self) -> bool:
        """Whether weights are rounded: the moments in ``layers`` are then those of other numbers."""
        return self.rounding is Rounding.float16

    def __str__(self) -> str:
        which = "filters that are not sparse" if self.is_clean else "all filters"
        return f"{which}, rounded to float16" if self.is_rounded else which


#: All filters as they are stored.
AS_STORED = Preparation()


def counted(layers: pa.Table, filters: Filters) -> pa.Table:
    """The table ``layers`` with the number and the moments of the filters that count, under the usual names.

    Raises:
        StoreError: a layer has none of its clean filters.
    """
    if filters is Filters.all:
        return layers
    for usual, clean in _CLEAN.items():
        if usual in layers.column_names:
            place = layers.schema.get_field_index(usual)
            layers = layers.set_column(place, usual, known_clean(layers, clean))
    return layers


def known_clean(layers: pa.Table, column: str) -> pa.ChunkedArray:
    """One of the columns on clean filters.

    Raises:
        StoreError: it is not there, or null somewhere.
    """
    missing = layers.num_rows if column not in layers.column_names else layers.column(column).null_count
    if missing:
        raise StoreError(
            f"filters=clean: {missing:,} of {layers.num_rows:,} layers have no {column!r}: an older version extracted "
            "them; extract those models again into a new store, or take filters=all"
        )
    return layers.column(column)


def prepared(
    columns: Sequence[Float32], limits: Float64 | None, rounding: Rounding
) -> tuple[list[Float32], Int64 | None]:
    """Nine columns of filters without the sparse ones, then rounded; and which rows are left, None for all.

    A weight beyond float16's range becomes infinite.

    Args:
        columns: (n,) each.
        limits: (n,) of the layer of each filter, see ``sparse_limits``; None: none is left out.
        rounding: of each weight.
    """
    kept: Int64 | None = None
    if limits is not None:
        largest = np.abs(columns[0])
        for column in columns[1:]:
            np.maximum(largest, np.abs(column), out=largest)
        kept = np.flatnonzero(~(largest < limits))  # NaN stays, to be found where it counts
        if kept.size == largest.size:
            kept = None
    found = list(columns) if kept is None else [column[kept] for column in columns]
    if rounding is Rounding.float16:
        with np.errstate(over="ignore"):
            found = [column.astype(np.float16).astype(np.float32) for column in found]
    return found, kept


def sparse_limits(layers: pa.Table) -> Float64:
    """(L,) filters of a layer whose largest |w| is smaller are sparse; of the column ``max_abs``, in the table's order.

    Raises:
        StoreError: there is no such column.
    """
    if "max_abs" not in layers.column_names:
        raise StoreError("layers: there is no column 'max_abs'; the store was not written by this project")
    return np.array([sparse_below(value) for value in layers.column("max_abs").to_pylist()], np.float64)
