"""Pairs by what models have in common: equal in all columns of ``match``, different in ``contrast``."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Bool, Int64
from analysis.pairs.listing import Pair, PairList
from analysis.selection.axes import codes_on, model_codes
from analysis.wording import count, shown
from distributed.errors import UserError
from distributed.suggestions import did_you_mean

#: Values of a column that a message lists.
_LISTED = 20

#: Pairs of values that a message lists.
_OFFERED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What models can be paired by.

    Attributes:
        ids, labels: (M,) ``model_id`` and name of each model, by name.
        value: (M,) its value of the contrast, an index into ``values``; -1: none.
        group: (M,) what it has in common with others, an index into ``groups``; -1: something is not known.
        values, groups: their names.
        match, contrast: the columns.
        notes: on models that take no part.
    """

    ids: list[str]
    labels: list[str]
    value: Int64
    group: Int64
    values: list[str]
    groups: list[str]
    match: tuple[str, ...]
    contrast: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, flat: pa.Table, match: Sequence[str], contrast: str) -> Candidates:
        """The models of a table with a row, or several, per model; what is null agrees with nothing.

        Args:
            flat: ``model_id``, ``model_label`` and the columns that are named.
            match: columns in which paired models agree.
            contrast: the column in which they differ.

        Raises:
            UserError: there is no such column, or it differs within a model.
        """
        models = model_codes(flat)
        first = np.unique(models, return_index=True)[1]
        labels = flat.column("model_label").take(first).to_pylist()
        order = np.array(sorted(range(len(labels)), key=lambda i: (labels[i].casefold(), labels[i])), np.int64)
        found = [_of_models(flat, column, models, first) for column in (contrast, *match)]
        together = np.stack([codes for _, codes in found[1:]])
        known = (together >= 0).all(axis=0)
        keys, inverse = np.unique(together[:, known], axis=1, return_inverse=True)
        group = np.full(len(first), -1)
        group[known] = inverse
        return cls(
            flat.column("model_id").take(first[order]).to_pylist(),
            [labels[i] for i in order],
            found[0][1][order],
            group[order],
            found[0][0],
            [" · ".join(names[code] for (names, _), code in zip(found[1:], key, strict=True)) for key in keys.T],
            tuple(match),
            contrast,
            tuple(
                f"{column}: not known of {count(int((codes < 0).sum()), 'model')}: not paired"
                for column, (_, codes) in zip((contrast, *match), found, strict=True)
                if (codes < 0).any()
            ),
        )

    def offered(self) -> Int64:
        """(V, V) how many pairs every two values have; 0 on the diagonal."""
        free = (self.group >= 0) & (self.value >= 0)
        models = np.zeros((len(self.groups), len(self.values)), np.int64)
        np.add.at(models, (self.group[free], self.value[free]), 1)
        pairs = models.T @ models
        np.fill_diagonal(pairs, 0)
        return pairs

    def offers(self) -> list[tuple[int, int, int]]:
        """Every two values that have pairs, and how many; the most first."""
        offered = self.offered()
        found = [(a, b, int(offered[a, b])) for a, b in np.argwhere(np.triu(offered, k=1)).tolist()]
        return sorted(found, key=lambda each: -each[2])

    def _offers_in_words(self) -> str:
        found = [f"{shown(self.values[a])} and {shown(self.values[b])} ({n})" for a, b, n in self.offers()]
        return ", ".join(found[:_OFFERED]) + (" …" if len(found) > _OFFERED else "") or "none"

    def sides(self, values: Sequence[str]) -> tuple[int, int]:
        """The two values that are compared, as indices.

        Raises:
            UserError: one is not there, or none is named and there are others than two.
        """
        if not values and len(self.values) == 2:
            return 0, 1
        there = Counter(self.values[code] for code in self.value[self.value >= 0])
        told = ", ".join(f"{shown(name)} ({count(n, 'model')})" for name, n in there.most_common(_LISTED))
        told = f"{told} …" if len(there) > _LISTED else told or "none"
        if not values:
            raise UserError(
                f"contrast={self.contrast} has {count(len(there), 'value')}: name two, as in values=[a,b]; "
                f"there are: {told}; pairs of: {self._offers_in_words()}"
            )
        for value in values:
            if value not in there:
                meant = did_you_mean(value, there)
                raise UserError(f"contrast={self.contrast} has no value {shown(value)!r}{meant}; there are: {told}")
        first, second = (self.values.index(value) for value in values)
        return first, second

    def pairs(self, first: int, second: int) -> list[Pair]:
        """Every model of the first value beside every one of the second that agrees with it; by group, then name."""
        sides = [self._by_group(value) for value in (first, second)]
        return [
            Pair(self.ids[a], self.ids[b], self.groups[group])
            for group in sorted(sides[0].keys() & sides[1].keys())
            for a, b in itertools.product(sides[0][group], sides[1][group])
        ]

    def _by_group(self, value: int) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for model in np.flatnonzero((self.value == value) & (self.group >= 0)).tolist():
            found.setdefault(int(self.group[model]), []).append(model)
        return found


def matched_pairs(candidates: Candidates, values: Sequence[str], most: int) -> PairList:
    """All pairs of two values of the contrast, and a note on models that match none.

    Raises:
        UserError: see ``Candidates.sides``; or no two models match, or more than ``most`` pairs do.
    """
    first, second = candidates.sides(values)
    names = candidates.values[first], candidates.values[second]
    number = int(candidates.offered()[first, second])
    asked = f"match=[{','.join(candidates.match)}] contrast={candidates.contrast}"
    sizes = [int((candidates.value == side).sum()) for side in (first, second)]
    if not number:
        said = " and ".join(f"{count(n, 'model')} of {shown(name)}" for n, name in zip(sizes, names, strict=True))
        raise UserError(f"{asked}: of {said} no two agree in {', '.join(candidates.match)}: match fewer columns")
    if number > most:
        raise UserError(f"{asked}: {number:,} pairs, more than max_pairs={most:,}: match more columns, or use where=…")
    found = candidates.pairs(first, second)
    notes = list(candidates.notes)
    for name, size, paired in zip(names, sizes, ({pair.a for pair in found}, {pair.b for pair in found}), strict=True):
        if len(paired) < size:
            notes.append(f"{size - len(paired)} of {count(size, 'model')} of {shown(name)} match no other")
    return PairList(tuple(found), names, tuple(notes))


def _of_models(flat: pa.Table, column: str, models: Int64, first: Int64) -> tuple[list[str], Int64]:
    """Names of the values, and (M,) the value of each model.

    Raises:
        UserError: see ``Candidates.of``.
    """
    names, codes = codes_on(flat, column)
    of_model = codes[first]
    differs: Bool = codes != of_model[models]
    if differs.any():
        label = flat.column("model_label")[int(np.argmax(differs))].as_py()
        raise UserError(f"{column} differs between the layers of {shown(label)}: pairs are of models, by their columns")
    return names, of_model
