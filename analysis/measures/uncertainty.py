"""Is that drift real? Intervals, a null and p-values for every cell of a shift matrix, without a scan.

Filters of one model are not independent: a group with three models has three observations, however many filters they
hold. So models are what is resampled, and everything is a weighted sum of their histograms.

* **Interval**: cluster bootstrap over models (Davison & Hinkley 1997, §3.8). Where each model lies in one group (task,
  data set), models are drawn within their group; where models lie in several (depth), models are drawn as a whole, so
  that what they share stays shared. The basis and its range stay as they are. A drift of few models is too large: it
  holds their spread as well as the groups' difference, and a replicate holds that spread twice. So the percentiles
  are moved down by twice the bootstrap's estimate of this bias (mean replicate - observed), not below 0.
  ``benchmarks/interval_coverage.py``: 95 % intervals cover the true drift in 85 to 99 % of simulations with 3 to 15
  models a group, where plain percentiles cover it in 0 to 92 %.
* **Null**: what two random groups of these models would show. For each pair the models of both are dealt out again,
  as many to each side as before; a model with layers on both sides swaps its two parts or keeps them. The p-value is
  (1 + number of null drifts >= observed) / (1 + number of permutations) (Phipson & Smyth 2010).
* **False discoveries**: q-values of Benjamini & Hochberg 1995 over the pairs of one matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.weighting import ModelHistograms

#: Replicates computed at once: bounds memory at about 64 replicates x groups x 630 float64.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Resampling:
    """How drifts are resampled.

    Attributes:
        replicates: bootstrap replicates per matrix.
        permutations: permutations per pair of groups.
        level: coverage of the intervals.
        seed: of the random numbers; the same seed gives the same table.
    """

    replicates: int = 1000
    permutations: int = 1000
    level: float = 0.95
    seed: int = 0


def resampling_of(replicates: int, level: float, seed: int) -> Resampling | None:
    """As many permutations as bootstrap replicates; None for 0: no intervals, no p-values."""
    return Resampling(replicates, replicates, level, seed) if replicates else None


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """For each cell of a (G, G) matrix, symmetric, NaN where it cannot be known.

    Attributes:
        low, high: bounds of the interval; NaN where a group has fewer than two models.
        null_median, null_high: median, and the ``level`` quantile, of the drift two random groups of these models show.
        p_value: of the observed drift under that null; 1 on the diagonal.
        q_value: the p-value controlled for false discoveries over the matrix.
    """

    low: Float64
    high: Float64
    null_median: Float64
    null_high: Float64
    p_value: Float64
    q_value: Float64


def uncertainty_of(
    histograms: ModelHistograms, measure: Callable[[Float64], Float64], resampling: Resampling
) -> Uncertainty:
    """Intervals, nulls and p-values of the matrix that ``measure`` gives.

    Args:
        histograms: what is resampled.
        measure: from counts (R, G, C, B) to drifts (R, G, G); ``analysis.measures.drift`` makes it. A group without a
            count has NaN drifts.
        resampling: how often, and the seed.
    """
    streams = np.random.default_rng(resampling.seed).spawn(2)
    low, high = bootstrap_interval(histograms, measure, resampling, streams[0])
    null_median, null_high, p_value = permutation_null(histograms, measure, resampling, streams[1])
    return Uncertainty(low, high, null_median, null_high, p_value, q_values(p_value))


def bootstrap_interval(
    histograms: ModelHistograms,
    measure: Callable[[Float64], Float64],
    resampling: Resampling,
    random: np.random.Generator,
) -> tuple[Float64, Float64]:
    """(G, G) lower and upper bounds of the drift: percentiles of replicates, corrected for bias (see the module).

    Replicates in which a group lost all its filters don't count for its cells.
    """
    groups, shape = histograms.groups, histograms.counts.shape[1:]
    flat = histograms.counts.reshape(len(histograms.counts), -1)
    rows_of = [np.flatnonzero(histograms.group == g) for g in range(groups)]
    drifts = np.empty((resampling.replicates, groups, groups))
    for start in range(0, resampling.replicates, _AT_ONCE):
        stop = min(start + _AT_ONCE, resampling.replicates)
        counts = np.empty((stop - start, groups, flat.shape[1]))
        together = None if histograms.nested else _draws(histograms.models, stop - start, random)
        for g, rows in enumerate(rows_of):
            drawn = _draws(len(rows), stop - start, random) if together is None else together[:, histograms.model[rows]]
            counts[:, g] = drawn @ flat[rows]
        drifts[start:stop] = measure(counts.reshape(stop - start, groups, *shape))
    tail = (1 - resampling.level) / 2
    models = np.array([len(rows) for rows in rows_of])
    unknown = (models[:, None] < 2) | (models[None, :] < 2)
    unknown |= np.isnan(drifts).all(axis=0)
    drifts[:, unknown] = 0.0
    observed = np.stack([histograms.counts[rows].sum(axis=0) for rows in rows_of])
    bias = np.nanmean(drifts, axis=0) - measure(observed[None])[0]
    low, high = np.maximum(np.nanquantile(drifts, [tail, 1 - tail], axis=0) - 2 * bias, 0.0)
    np.fill_diagonal(low, 0.0)
    np.fill_diagonal(high, 0.0)
    off = unknown & ~np.eye(groups, dtype=bool)
    low[off] = high[off] = np.nan
    return low, high


def _draws(items: int, replicates: int, random: np.random.Generator) -> Float64:
    """(replicates, items) how often each of ``items`` is drawn when as many are drawn with replacement."""
    return random.multinomial(items, np.full(items, 1 / items), size=replicates).astype(np.float64)


def permutation_null(
    histograms: ModelHistograms,
    measure: Callable[[Float64], Float64],
    resampling: Resampling,
    random: np.random.Generator,
) -> tuple[Float64, Float64, Float64]:
    """(G, G) median and upper quantile of the null drift, and p-values, pair by pair."""
    groups = histograms.groups
    median, high, p_value = np.zeros((groups, groups)), np.zeros((groups, groups)), np.ones((groups, groups))
    rows_of = [np.flatnonzero(histograms.group == g) for g in range(groups)]
    are_whole = bool((histograms.counts == np.rint(histograms.counts)).all())
    for a in range(groups):
        for b in range(a + 1, groups):
            first, second = _deal_again(
                histograms, rows_of[a], rows_of[b], resampling.permutations, random, are_whole=are_whole
            )
            null = np.concatenate(
                [
                    measure(np.stack([first[s : s + _AT_ONCE], second[s : s + _AT_ONCE]], axis=1))[:, 0, 1]
                    for s in range(0, len(first), _AT_ONCE)
                ]
            )
            pair = np.stack([histograms.counts[rows_of[g]].sum(axis=0) for g in (a, b)])[None]
            observed = float(measure(pair)[0, 0, 1])
            # The slack keeps the observed deal itself, met again by chance, from missing by a rounding.
            as_large = int((null >= observed * (1 - 1e-9)).sum())
            p_value[a, b] = p_value[b, a] = (1 + as_large) / (1 + len(null))
            median[a, b] = median[b, a] = np.median(null)
            high[a, b] = high[b, a] = np.quantile(null, resampling.level)
    return median, high, p_value


def _deal_again(
    histograms: ModelHistograms,
    rows_a: Int64,
    rows_b: Int64,
    deals: int,
    random: np.random.Generator,
    *,
    are_whole: bool,
) -> tuple[Float64, Float64]:
    """(deals, C, B) counts of both sides after models were dealt out again (see the module).

    ``are_whole``: all counts are whole numbers, whose sums are exact.
    """
    shape = histograms.counts.shape[1:]
    flat = histograms.counts.reshape(len(histograms.counts), -1)
    _, in_a, in_b = np.intersect1d(histograms.model[rows_a], histograms.model[rows_b], return_indices=True)
    alone_a, alone_b = np.delete(rows_a, in_a), np.delete(rows_b, in_b)
    alone = flat[np.concatenate([alone_a, alone_b])]
    # The models with the |A| smallest of as many uniform random numbers are a random choice: they go to side a.
    chances = random.random((deals, len(alone)))
    to_a = np.zeros_like(chances)
    if len(alone_a):
        smallest = np.argpartition(chances, len(alone_a) - 1, axis=1)[:, : len(alone_a)]
        np.put_along_axis(to_a, smallest, 1.0, axis=1)
    swap = random.integers(0, 2, size=(deals, len(in_a))).astype(np.float64)
    shared_a, shared_b = flat[rows_a[in_a]], flat[rows_b[in_b]]
    first = to_a @ alone + (1 - swap) @ shared_a + swap @ shared_b
    if are_whole:
        # What is not on one side is on the other.
        second = alone.sum(axis=0) + shared_a.sum(axis=0) + shared_b.sum(axis=0) - first
    else:
        second = (1 - to_a) @ alone + swap @ shared_a + (1 - swap) @ shared_b
    return first.reshape(deals, *shape), second.reshape(deals, *shape)


def q_values(p_values: Float64) -> Float64:
    """(G, G) Benjamini–Hochberg adjusted p-values over the pairs (upper triangle) of one matrix; 1 on the diagonal."""
    upper = np.triu_indices(len(p_values), k=1)
    p = p_values[upper]
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    result = np.ones_like(p_values)
    result[upper] = np.minimum(adjusted, 1.0)
    result.T[upper] = result[upper]
    return result
