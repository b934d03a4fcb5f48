"""Factors as a design: what each explains alone, after those before it, and after all others.

With Z the indicators of all levels, a set of factors projects by H = Z M Zᵀ, M the pseudo-inverse of its part of ZᵀZ.
So the sum of squares of a set, tr(H G), needs of an (N, N) matrix only its sums over pairs of levels: ZᵀGZ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.confounding import relation_of
from analysis.selection.factors import Factor
from analysis.wording import count, shown
from distributed.errors import UserError

#: Eigenvalues of ZᵀZ, numbers of observations, that count as zero.
_ZERO = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """K factors of N observations, none nested in another.

    Attributes:
        factors: (K,) with a value for every observation.
        columns: (N, K) int64, the columns of Z that are 1: levels of the factors one after the other, L in all.
        inverses: (S, L, L) M of each set of factors: the first, the first two … all (K of them), then, for K > 1, all
            but the first, all but the second … (K of them).
        ranks: (S,) degrees of freedom of each set, the mean taken off.
    """

    factors: tuple[Factor, ...]
    columns: Int64
    inverses: Float64
    ranks: Int64

    @classmethod
    def of(cls, factors: Sequence[Factor]) -> Design:
        """The design of these factors.

        Raises:
            UserError: what a factor explains cannot be told: it has one level, is the same as another or nested in it,
                or no degree of freedom is left; names the factors.
        """
        number, sizes = len(factors[0].codes), [len(factor.levels) for factor in factors]
        _check(factors)
        ends = np.cumsum([0, *sizes])
        columns = np.stack([factor.codes + start for factor, start in zip(factors, ends[:-1], strict=True)], axis=1)
        indicators = np.zeros((number, ends[-1]))
        np.put_along_axis(indicators, columns, 1.0, axis=1)
        products = indicators.T @ indicators
        all_of_them = range(len(factors))
        sets = [list(all_of_them)[: k + 1] for k in all_of_them]
        sets += [[other for other in all_of_them if other != k] for k in all_of_them] if len(factors) > 1 else []
        found = [_inverse(products, np.concatenate([np.arange(ends[k], ends[k + 1]) for k in each])) for each in sets]
        design = cls(
            tuple(factors), columns, np.stack([inverse for inverse, _ in found]), np.array([rank for _, rank in found])
        )
        if design.residual_df < 1:
            raise UserError(
                f"{', '.join(factor.name for factor in factors)}: {count(sum(sizes), 'level')} take {design.df} "
                f"degrees of freedom, {count(number, 'observation')} have {number - 1}: nothing is left to compare "
                "with; leave a factor out, or take more models"
            )
        for factor, df in zip(factors, design.df_margin, strict=True):
            if df < 1:
                raise UserError(f"factor {factor.name} follows from the others together: leave it out, or one of them")
        return design

    @property
    def observations(self) -> int:
        """N."""
        return len(self.columns)

    @property
    def df(self) -> int:
        """Of all factors together."""
        return int(self.ranks[len(self.factors) - 1])

    @property
    def residual_df(self) -> int:
        """What is left."""
        return self.observations - 1 - self.df

    @property
    def df_terms(self) -> Int64:
        """(K,) of each factor after those before it."""
        return np.diff(self.ranks[: len(self.factors)], prepend=0)

    @property
    def df_margin(self) -> Int64:
        """(K,) of each factor after all others."""
        return self.df - self.without(self.ranks)

    def without(self, of_sets: Int64) -> Int64:
        """(K,) of (S,) numbers of the sets those of all factors but each; 0 for the only one."""
        return of_sets[len(self.factors) :] if len(self.factors) > 1 else np.zeros(1, of_sets.dtype)


def _check(factors: Sequence[Factor]) -> None:
    number = len(factors[0].codes)
    for factor in factors:
        if len(factor.levels) < 2:
            value = shown(factor.levels[0]) if factor.levels else "no value"
            raise UserError(
                f"factor {factor.name} is {value} for all of {count(number, 'observation')}: it explains nothing; "
                "leave it out, or choose other models"
            )
        if len(factor.levels) == number:
            raise UserError(
                f"factor {factor.name} has another value for each of {count(number, 'observation')}: there is nothing "
                "to compare within; leave it out, or take a coarser one"
            )
    for k, b in enumerate(factors):
        for a in factors[:k]:
            relation = relation_of(a, b)
            if relation == "same":
                raise UserError(
                    f"factors {a.name} and {b.name} group these models alike: which of the two matters they cannot "
                    "tell; give one of them"
                )
            if relation != "crossed":
                inner, outer = (a.name, b.name) if relation == "a in b" else (b.name, a.name)
                raise UserError(
                    f"factor {inner} is nested in {outer}, each {inner} has one {outer} among these models: after "
                    f"{inner} nothing is left for {outer} to explain; give one of them"
                )


def _inverse(products: Float64, chosen: Int64) -> tuple[Float64, int]:
    """(L, L) pseudo-inverse of the chosen part of (L, L) ``products``, 0 elsewhere; its rank less one."""
    values, vectors = np.linalg.eigh(products[np.ix_(chosen, chosen)])
    kept = values > _ZERO * values[-1]
    inverse = np.zeros_like(products)
    inverse[np.ix_(chosen, chosen)] = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return inverse, int(kept.sum()) - 1
