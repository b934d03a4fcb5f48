"""What a partition compares: models, or what is left of lineages, with factors, and what may change places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.exchange import Arrangements, arrangements_of
from analysis.measures.model_distance import centroid_distances
from analysis.selection.factors import Factor, cells_of
from analysis.wording import shown
from distributed.errors import UserError


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """N observations of M models.

    Attributes:
        members: (M,) the observation of each model.
        factors: of the observations.
        strata: (N,) numbers: labels stay within.
        units: (N,) numbers: these move together.
    """

    members: Int64
    factors: tuple[Factor, ...]
    strata: Int64
    units: Int64

    @classmethod
    def of(cls, factors: Sequence[Factor], strata: Factor | None, units: Int64, *, rows: Int64) -> Observations:
        """Of some models: those of one unit with the same values are one observation.

        Args:
            factors: of all models, known for those of ``rows``.
            strata: of all models; one that has no value is a stratum of its own. None: one stratum.
            units: (all models,) numbers.
            rows: (M,) the models that take part.

        Raises:
            UserError: models of one unit lie in several strata.
        """
        codes = np.zeros(len(units), np.int64)
        if strata is not None:
            alone = len(strata.levels) + np.arange(len(units))
            codes = np.where(strata.codes >= 0, strata.codes, alone)
        members = cells_of([units[rows], codes[rows], *(factor.codes[rows] for factor in factors)])
        first = rows[np.unique(members, return_index=True)[1]]
        if strata is not None and len(np.unique(units[rows])) < cells_of([units[rows], codes[rows]]).max() + 1:
            pairs = np.unique(np.stack([units[rows], codes[rows]]), axis=1)
            unit = pairs[0][np.flatnonzero(np.diff(pairs[0]) == 0)[0]]
            values = [strata.levels[code] for code in pairs[1][pairs[0] == unit] if code < len(strata.levels)]
            raise UserError(
                f"models of one unit lie in several strata of {strata.name} ({', '.join(map(shown, values[:3]))}): "
                "take unit=model, or other strata"
            )
        return cls(members, tuple(factor.of(first) for factor in factors), codes[first], units[first])

    @property
    def number(self) -> int:
        """N."""
        return len(self.units)

    def squared(self, of_models: Float64) -> Float64:
        """(N, N) d² from those of the models, (M, M)."""
        return centroid_distances(of_models, self.members)

    def arrangements(self, permutations: int, seed: int, rows: Int64 | None = None) -> Arrangements | None:
        """How the labels of these observations (of all) may be dealt out; None for no permutations."""
        if not permutations:
            return None
        rows = np.arange(self.number) if rows is None else rows
        cells = cells_of([factor.codes[rows] for factor in self.factors])
        return arrangements_of(cells, self.strata[rows], self.units[rows], permutations, seed)
