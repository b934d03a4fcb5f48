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

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.dealing import Deals, deal_again
from analysis.measures.drift import Resampled
from analysis.measures.weighting import ModelHistograms
from analysis.scanning.thread_workers import usable_cpus

PairMeasure: TypeAlias = Callable[[Float64, Float64], Float64]

Item = TypeVar("Item")
Result = TypeVar("Result")

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


def uncertainty_of(histograms: ModelHistograms, measure: Resampled, resampling: Resampling) -> Uncertainty:
    """Intervals, nulls and p-values of a drift matrix.

    Args:
        histograms: what is resampled.
        measure: how drifts are measured.
        resampling: how often, and the seed.
    """
    streams = np.random.default_rng(resampling.seed).spawn(2)
    low, high = bootstrap_interval(histograms, measure.matrices, resampling, streams[0])
    null_median, null_high, p_value = permutation_null(histograms, measure.pairs, resampling, streams[1])
    return Uncertainty(low, high, null_median, null_high, p_value, q_values(p_value))


def bootstrap_interval(
    histograms: ModelHistograms,
    measure: Callable[[Float64], Float64],
    resampling: Resampling,
    random: np.random.Generator,
) -> tuple[Float64, Float64]:
    """(G, G) lower and upper bounds of the drift: percentiles of replicates, corrected for bias (see the module).

    ``measure``: from counts (R, G, C, B) to drifts (R, G, G), NaN for a group without a count. Replicates in which a
    group lost all its filters don't count for its cells.
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
    histograms: ModelHistograms, measure: PairMeasure, resampling: Resampling, random: np.random.Generator
) -> tuple[Float64, Float64, Float64]:
    """(G, G) median and upper quantile of the null drift, and p-values, pair by pair.

    ``measure``: from counts (R, C, B) twice to the drifts (R,) between them.
    Pairs are dealt one after the other, so that the seed decides, and measured side by side in threads.
    """
    groups = histograms.groups
    median, high, p_value = np.zeros((groups, groups)), np.zeros((groups, groups)), np.ones((groups, groups))
    rows_of = [np.flatnonzero(histograms.group == g) for g in range(groups)]
    are_whole = bool((histograms.counts == np.rint(histograms.counts)).all())
    pairs = list(itertools.combinations(range(groups), 2))
    dealt = (
        deal_again(histograms, rows_of[a], rows_of[b], resampling.permutations, random, are_whole=are_whole)
        for a, b in pairs
    )
    sums = histograms.group_sums
    for (a, b), null in zip(pairs, _in_threads(partial(_null, measure), dealt), strict=True):
        observed = float(measure(sums[a, None], sums[b, None])[0])
        # The slack keeps the observed deal itself, met again by chance, from missing by a rounding.
        as_large = int((null >= observed * (1 - 1e-9)).sum())
        p_value[a, b] = p_value[b, a] = (1 + as_large) / (1 + len(null))
        median[a, b] = median[b, a] = np.median(null)
        high[a, b] = high[b, a] = np.quantile(null, resampling.level)
    return median, high, p_value


def _null(measure: PairMeasure, deals: Deals) -> Float64:
    """(D,) the drift between both sides of each deal."""
    null = np.empty(len(deals))
    shape = (min(_AT_ONCE, len(deals)), *deals.base.shape)
    first, second = np.empty(shape), np.empty(shape)
    for start in range(0, len(deals), _AT_ONCE):
        some = null[start : start + _AT_ONCE]
        deals.sums(start, first[: len(some)], second[: len(some)])
        some[:] = measure(first[: len(some)], second[: len(some)])
    return null


def _in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``work`` of each item, in order; few items more than there are threads wait at a time."""
    threads = usable_cpus()
    with ThreadPoolExecutor(threads, thread_name_prefix="null") as pool:
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


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
