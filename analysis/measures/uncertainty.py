"""Is that drift real? Its value without bias, an interval, a floor, a null and p-values for every cell; no scan.

Filters of one model are not independent: a group with three models has three observations, however many filters they
hold. So units of observation are what is left out and dealt out: models, or lineages where models descend from one
another (``unit``). Everything is a weighted sum of their histograms; the basis and its range stay as they are.

* **Debiased drift and interval**: ``analysis.measures.jackknife``.
* **Floor**: how far apart random halves of one group are, the median over their draws; of a pair, the larger of both
  groups' floors. Halves are smaller than their group, so that noise weighs more: a drift below the floor is one that
  the groups show within themselves; one above it may still be noise, which the null says.
* **Null**: what two random groups of these units would show. For each pair the units of both are dealt out again, as
  many to each side as before; a unit with layers on both sides swaps its two parts or keeps them. The p-value is
  (1 + number of null drifts >= observed) / (1 + number of permutations) (Phipson & Smyth 2010).
* **Number of pairs**: ``analysis.measures.adjusting``.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.adjusting import Largest, q_values
from analysis.measures.dealing import Deals, deal_again
from analysis.measures.drift import PairMeasure, Resampled
from analysis.measures.jackknife import jackknife
from analysis.measures.weighting import UnitHistograms
from analysis.scanning.thread_workers import usable_cpus
from analysis.settings import Adjust

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Resampling:
    """How sure drifts are made.

    Attributes:
        replicates: permutations per pair of groups, draws of halves per group, bootstrap draws of a group.
        level: coverage of the intervals.
        seed: of the random numbers; the same seed gives the same table.
        adjust: how q-values are made of p-values.
    """

    replicates: int = 1000
    level: float = 0.95
    seed: int = 0
    adjust: Adjust = Adjust.bh


def resampling_of(replicates: int, level: float, seed: int, adjust: Adjust = Adjust.bh) -> Resampling | None:
    """None for 0 replicates: no intervals, no p-values."""
    return Resampling(replicates, level, seed, adjust) if replicates else None


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """For each cell of a (G, G) matrix, symmetric, NaN where it cannot be known.

    Attributes:
        low, high: bounds of the interval; NaN where a group has fewer than two units.
        null_median, null_high: median, and the ``level`` quantile, of the drift two random groups of these units show.
        p_value: of the observed drift under that null; 1 on the diagonal.
        q_value: the p-value controlled for the number of pairs of the matrix.
        debiased: the drift without its bias, which may be below 0; NaN as ``low``.
        floor: the larger of both groups' median drift between random halves; NaN as ``low``.
    """

    low: Float64
    high: Float64
    null_median: Float64
    null_high: Float64
    p_value: Float64
    q_value: Float64
    debiased: Float64
    floor: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Null:
    """(G, G) each, symmetric: see ``Uncertainty``; ``familywise``: p-values by ``adjusting.Largest``."""

    median: Float64
    high: Float64
    p_value: Float64
    familywise: Float64


def uncertainty_of(histograms: UnitHistograms, measure: Resampled, resampling: Resampling) -> Uncertainty:
    """All of it, of a drift matrix.

    Args:
        histograms: what is left out and dealt out.
        measure: how drifts are measured.
        resampling: how often, and the seed.
    """
    halves, deals = np.random.default_rng(resampling.seed).spawn(2)
    estimated = jackknife(histograms, measure.pairs)
    low, high = estimated.interval(resampling.level)
    null = permutation_null(histograms, measure.pairs, resampling, deals)
    by_largest = resampling.adjust is Adjust.max
    return Uncertainty(
        low,
        high,
        null.median,
        null.high,
        null.p_value,
        null.familywise if by_largest else q_values(null.p_value, resampling.adjust),
        estimated.debiased,
        floors(histograms, measure.pairs, resampling, halves),
    )


def floors(
    histograms: UnitHistograms, measure: PairMeasure, resampling: Resampling, random: np.random.Generator
) -> Float64:
    """(G, G) see ``Uncertainty``; half of an odd number of units is rounded down, the others are the other half."""
    halves = []
    for g in range(histograms.groups):
        rows = histograms.rows_of(g)
        middle = len(rows) // 2
        halves.append((rows[:middle], rows[middle:]))
    known = [g for g, (first, _) in enumerate(halves) if len(first)]
    own = np.full(histograms.groups, np.nan)
    dealt = _deals(histograms, [halves[g] for g in known], resampling.replicates, random)
    own[known] = [np.median(drifts) for drifts in _in_threads(partial(Deals.drifts, measure=measure), dealt)]
    floor: Float64 = np.maximum(own[:, None], own[None, :])  # NaN where either is
    np.fill_diagonal(floor, own)
    return floor


def permutation_null(
    histograms: UnitHistograms, measure: PairMeasure, resampling: Resampling, random: np.random.Generator
) -> Null:
    """The null of every pair, and p-values.

    ``measure``: from counts (R, C, B) twice to the drifts (R,) between them.
    Pairs are dealt one after the other, so that the seed decides, and measured side by side in threads.
    """
    groups = histograms.groups
    median, high = np.zeros((groups, groups)), np.zeros((groups, groups))
    p_value, familywise = np.ones((groups, groups)), np.ones((groups, groups))
    pairs = list(itertools.combinations(range(groups), 2))
    sums, largest, standardised = histograms.group_sums, Largest(resampling.replicates), []
    sides = [(histograms.rows_of(a), histograms.rows_of(b)) for a, b in pairs]
    dealt = _deals(histograms, sides, resampling.replicates, random)
    for (a, b), null in zip(pairs, _in_threads(partial(Deals.drifts, measure=measure), dealt), strict=True):
        # The slack keeps the observed deal itself, met again by chance, from missing by a rounding.
        observed = float(measure(sums[a, None], sums[b, None])[0]) * (1 - 1e-9)
        p_value[[a, b], [b, a]] = (1 + (null >= observed).sum()) / (1 + len(null))
        median[[a, b], [b, a]] = np.median(null)
        high[[a, b], [b, a]] = np.quantile(null, resampling.level)
        standardised.append(largest.note(observed, null))
    for (a, b), value in zip(pairs, standardised, strict=True):
        familywise[[a, b], [b, a]] = largest.p_value(value)
    return Null(median, high, p_value, familywise)


def _deals(
    histograms: UnitHistograms, sides: Iterable[tuple[Int64, Int64]], deals: int, random: np.random.Generator
) -> Iterator[Deals]:
    """Of the rows on two sides each."""
    are_whole = bool((histograms.counts == np.rint(histograms.counts)).all())
    for rows_a, rows_b in sides:
        yield deal_again(histograms, rows_a, rows_b, deals, random, are_whole=are_whole)


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
