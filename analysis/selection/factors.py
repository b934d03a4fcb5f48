"""Factors: what models differ in, as an axis with one value a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Bool, Int64
from analysis.selection.axes import codes_on
from analysis.wording import shown
from distributed.errors import UserError
from distributed.records import MODEL_BITS_SHIFT


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One factor of N models or observations.

    Attributes:
        name: the axis.
        levels: names of its values, in order.
        codes: (N,) 0 … L-1, the value of each; -1 where it is not known.
    """

    name: str
    levels: tuple[str, ...]
    codes: Int64

    def of(self, rows: Int64 | Bool) -> Factor:
        """Of these models alone: levels that none of them has are gone."""
        codes = self.codes[rows]
        present, left = np.unique(codes[codes >= 0], return_inverse=True)
        result = np.full(len(codes), -1, np.int64)
        result[codes >= 0] = left
        return Factor(self.name, tuple(self.levels[level] for level in present), result)


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The models of a flat view, in the order of their layers' ids.

    Attributes:
        keys: (M,) what is the same in the ids of a model's layers (``layer_id >> MODEL_BITS_SHIFT``), rising.
        labels: (M,) of each model, no two alike.
        first: (M,) its first row.
        rows: (N,) the model of each row.
    """

    keys: Int64
    labels: tuple[str, ...]
    first: Int64
    rows: Int64

    @classmethod
    def of(cls, flat: pa.Table) -> Models:
        """Of a (selected) flat view."""
        owners = flat.column("layer_id").to_numpy() >> MODEL_BITS_SHIFT
        keys, first, rows = np.unique(owners, return_index=True, return_inverse=True)
        labels = flat.column("model_label").take(pa.array(first)).to_pylist()
        return cls(keys.astype(np.int64), tuple(labels), first.astype(np.int64), rows.astype(np.int64))

    def factor(self, flat: pa.Table, axis: str) -> Factor:
        """The axis as a factor of the models.

        Raises:
            UserError: there is no such axis, or layers of one model differ on it.
        """
        names, codes = codes_on(flat, axis)
        of_model = codes[self.first]
        mixed = np.flatnonzero(codes != of_model[self.rows])
        if mixed.size:
            model = shown(self.labels[self.rows[mixed[0]]])
            raise UserError(
                f"{axis} differs between the layers of one model ({model}): a factor is what models differ in; "
                "to look at parts of every model, use axes"
            )
        return Factor(axis, tuple(names), of_model).of(np.arange(len(of_model)))


def known_on_all(factors: Sequence[Factor]) -> Bool:
    """(N,) which have a value on each of the factors."""
    known: Bool = np.all([factor.codes >= 0 for factor in factors], axis=0)
    return known


def cells_of(codes: Sequence[Int64]) -> Int64:
    """(N,) which observations have the same values on all of these: numbers 0 … C-1."""
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
