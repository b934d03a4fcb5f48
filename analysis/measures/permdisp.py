"""PERMDISP: whether groups differ in how far their observations lie from their middle (Anderson 2006).

PERMANOVA answers both to groups in different places and to groups of different spread; this tells the second. Middles
are centroids or, less moved by outliers, spatial medians; distances to them are compared by an analysis of variance,
whose residuals are permuted. As ``betadisper`` and ``permutest`` of the R package vegan, but that groups of one or two
take no part: one lies in its own middle, and two at the same distance from theirs, so that the analysis of variance
finds nothing within such a group, and everything between.

Where distances are not Euclidean some axes are imaginary: their squares count negative, and where a squared distance to
a middle becomes negative its root is taken as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.exchange import Arrangements
from analysis.selection.factors import Factor
from analysis.settings import Middle
from distributed.errors import UserError

#: An eigenvalue below this share of the largest is rounding (vegan's).
_ZERO = float(np.sqrt(np.finfo(np.float64).eps))

#: A group of fewer observations has no spread that could be compared.
FEWEST = 3

#: The spatial median is found when a step moves no weight by more.
_STILL, _MOST_STEPS = 1e-13, 20_000


@dataclass(frozen=True, eq=False)
class Space:
    """N observations as inner products around their centroid, apart by the sign of their axes.

    Attributes:
        squared: (N, N) d².
        is_euclidean: whether no axis is imaginary, known beforehand; then no axes are looked for.
    """

    squared: Float64
    is_euclidean: bool = False

    @cached_property
    def parts(self) -> tuple[Float64, ...]:
        """(N, N) inner products on the real axes and, where there are any, on the imaginary ones."""
        gower = -0.5 * (self.squared - self.squared.mean(axis=0) - self.squared.mean(axis=1)[:, None])
        gower -= 0.5 * self.squared.mean()
        if self.is_euclidean:
            return (gower,)
        values, vectors = np.linalg.eigh(gower)
        tolerance = _ZERO * max(1.0, float(values[-1]))
        signs = [each for each in (values > tolerance, values < -tolerance) if each.any()]
        return tuple((vectors[:, each] * np.abs(values[each])) @ vectors[:, each].T for each in signs)

    def to_middle(self, members: Int64, middle: Middle) -> Float64:
        """(n,) distances of the members of one group to its middle."""
        if middle is Middle.centroid:
            inside = self.squared[np.ix_(members, members)]
            return _root(inside.mean(axis=1) - inside.mean() / 2)
        real, *imaginary = (_to_median(part[np.ix_(members, members)]) for part in self.parts)
        return _root(real - sum(imaginary))


@dataclass(frozen=True, slots=True, eq=False)
class Permdisp:
    """Of one factor.

    Attributes:
        factor: of the observations that take part.
        rows: (n,) which they are.
        distances: (n,) to the middle of their group.
        f, df, residual_df: of the analysis of variance.
        p: by permutation; NaN where nothing was permuted.
        arrangements: what p rests on.
    """

    factor: Factor
    rows: Int64
    distances: Float64
    f: float
    df: int
    residual_df: int
    p: float
    arrangements: Arrangements | None


def permdisp(
    space: Space,
    factor: Factor,
    middle: Middle,
    arrange: Callable[[Int64], Arrangements | None],
    *,
    bias_adjust: bool = False,
) -> Permdisp:
    """The test of one factor.

    Args:
        space: of N observations.
        factor: of them; groups of fewer than ``FEWEST`` are left out.
        middle: of a group.
        arrange: rows of observations (n,) → how their labels may be dealt out again.
        bias_adjust: distances times √(n/(n − 1)), n in the group: small groups lie near their own middle (Stier 2013).

    Raises:
        UserError: fewer than two groups have as many observations.
    """
    often = np.bincount(factor.codes, minlength=len(factor.levels))
    rows = np.flatnonzero(often[factor.codes] >= FEWEST)
    kept = factor.of(rows)
    if len(kept.levels) < 2:
        raise UserError(f"{factor.name}: no test of spread, fewer than two of its values have {FEWEST} observations")
    distances = np.empty(len(rows))
    for level in range(len(kept.levels)):
        mine = np.flatnonzero(kept.codes == level)
        distances[mine] = space.to_middle(rows[mine], middle) * np.sqrt(len(mine) / (len(mine) - bias_adjust))
    means = np.bincount(kept.codes, distances) / np.bincount(kept.codes)
    residuals = distances - means[kept.codes]
    df, residual_df = len(kept.levels) - 1, len(rows) - len(kept.levels)
    f = float(_anova_f(distances[None], kept.codes)[0])
    arrangements, p = arrange(rows), float("nan")
    if arrangements is not None and arrangements.moves(kept.codes):
        null = [_null_f(residuals, kept.codes, arrangements.batch(i), f) for i in range(arrangements.batches)]
        p = arrangements.p_value(np.concatenate(null), f)
    return Permdisp(kept, rows, distances, f, df, residual_df, p, arrangements)


def _null_f(residuals: Float64, codes: Int64, places: Int64, observed: float) -> Float64:
    """(R,) F of the residuals in the groups that (R, n) permutations make; ``observed`` where these are the groups."""
    # Observation i takes the code of places[i]: the same as that one's residual going back to where codes stand.
    dealt = _anova_f(residuals[np.argsort(places, axis=1)], codes)
    return np.where((codes[places] == codes).all(axis=1), observed, dealt)


def _anova_f(values: Float64, codes: Int64) -> Float64:
    """(R,) F of (R, n) values by group; 0 where they do not differ at all."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
    sizes = np.diff([*starts, len(codes)])
    values = values - values.mean(axis=1, keepdims=True)
    sums = np.add.reduceat(values[:, order], starts, axis=1)
    between = (sums**2 / sizes).sum(axis=1)
    within = np.maximum((values**2).sum(axis=1) - between, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f: Float64 = between / (len(sizes) - 1) / (within / (len(codes) - len(sizes)))
    return np.where(np.isnan(f), 0.0, f)


def _to_median(products: Float64) -> Float64:
    """(n,) squared distances to the spatial median of n points, given by their inner products.

    Weiszfeld's algorithm, the median held as a weighted mean. Where that is one of the points it comes near too slowly,
    and a point is known to be it by the pull of all others (Vardi & Zhang 2000): so the nearest is asked.
    """
    number = len(products)
    weights, least = np.full(number, 1 / number), 1e-24 * max(float(np.diag(products).max()), 1e-300)
    for _ in range(_MOST_STEPS):
        pull = 1 / np.sqrt(np.maximum(_to_mean(products, weights), least))
        before, weights = weights, pull / pull.sum()
        if np.abs(weights - before).max() < _STILL:
            break
    nearest = np.eye(number)[int(_to_mean(products, weights).argmin())]
    squared = _to_mean(products, nearest)
    apart = squared > least
    pull = np.where(apart, 1 / np.sqrt(np.where(apart, squared, 1.0)), 0.0)
    moved = pull - pull.sum() * nearest
    # Of two points all between them are medians, either as well: the middle stays.
    is_median = float(moved @ products @ moved) < (1 - 1e-9) * (~apart).sum() ** 2
    return _to_mean(products, nearest if is_median else weights)


def _to_mean(products: Float64, weights: Float64) -> Float64:
    """(n,) squared distances to a weighted mean of the points."""
    towards = products @ weights
    squared: Float64 = np.maximum(np.diag(products) - 2 * towards + weights @ towards, 0.0)
    return squared


def _root(squared: Float64) -> Float64:
    root: Float64 = np.sqrt(np.maximum(squared, 0.0))
    return root
