"""The units of two groups dealt out again, as many to each side as before: what the permutation null is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Bool, Float64, Int64
from analysis.measures.drift import PairMeasure
from analysis.measures.weighting import UnitHistograms

#: Deals computed at once: bounds memory at about 64 deals x 2 x 630 float64 a thread.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Deals:
    """D deals. The first side of deal d is ``base`` + the sum of the rows chosen in d, the second that of the others.

    With ``are_whole`` the counts are whole numbers, whose sums and differences are exact; a unit on both sides is then
    one row, the difference that its swap makes, and the second side is what the first leaves.

    Attributes:
        rows: (C, N, B).
        base: (C, B).
        chosen: (D, N).
        are_whole: see above.
    """

    rows: Float64
    base: Float64
    chosen: Bool
    are_whole: bool

    @classmethod
    def of(
        cls, alone: Float64, to_first: Bool, first: Float64, second: Float64, swapped: Bool, *, are_whole: bool
    ) -> Deals:
        """Of units on one side, and of those with a part on either.

        Args:
            alone: (A, C, B) counts of the former.
            to_first: (D, A) which of them go to the first side.
            first, second: (S, C, B) both parts of the latter.
            swapped: (D, S) which of them swap their parts.
            are_whole: all counts are whole numbers.
        """
        if are_whole:
            parts, chosen, base = [alone, second - first], [to_first, swapped], first.sum(axis=0)
        else:
            parts, chosen = [alone, first, second], [to_first, ~swapped, swapped]
            base = np.zeros(first.shape[1:])
        rows = np.ascontiguousarray(np.concatenate(parts).transpose(1, 0, 2))
        return cls(rows, base, np.concatenate(chosen, axis=1), are_whole)

    def __len__(self) -> int:
        """D."""
        return len(self.chosen)

    def drifts(self, measure: PairMeasure) -> Float64:
        """(D,) the drift between both sides of each deal."""
        drifts = np.empty(len(self))
        shape = (min(_AT_ONCE, len(self)), *self.base.shape)
        first, second = np.empty(shape), np.empty(shape)
        for start in range(0, len(self), _AT_ONCE):
            some = drifts[start : start + _AT_ONCE]
            self.sums(start, first[: len(some)], second[: len(some)])
            some[:] = measure(first[: len(some)], second[: len(some)])
        return drifts

    def sums(self, start: int, first: Float64, second: Float64) -> None:
        """Counts of both sides of the deals from ``start`` on into ``first`` and ``second``, (n, C, B) each."""
        from analysis.measures import null_loops  # imports numba
        from distributed.compiled import compiled

        chosen = self.chosen[start : start + len(first)]
        compiled(null_loops, "deal_sums")(self.rows, self.base, chosen, self.are_whole, first, second)


def deal_again(
    histograms: UnitHistograms,
    rows_a: Int64,
    rows_b: Int64,
    deals: int,
    random: np.random.Generator,
    *,
    are_whole: bool,
) -> Deals:
    """The units of two groups, given as their rows of ``histograms``, dealt out ``deals`` times.

    A unit with layers on both sides swaps its two parts or keeps them. ``are_whole``: all counts are whole numbers.
    """
    counts = histograms.counts
    _, in_a, in_b = np.intersect1d(histograms.unit[rows_a], histograms.unit[rows_b], return_indices=True)
    alone_a, alone_b = np.delete(rows_a, in_a), np.delete(rows_b, in_b)
    alone = np.concatenate([alone_a, alone_b])
    # The units with the |A| smallest of as many uniform random numbers are a random choice: they go to side a.
    chances = random.random((deals, len(alone)))
    to_a = np.zeros(chances.shape, bool)
    if len(alone_a):
        smallest = np.argpartition(chances, len(alone_a) - 1, axis=1)[:, : len(alone_a)]
        np.put_along_axis(to_a, smallest, True, axis=1)
    swap = random.integers(0, 2, size=(deals, len(in_a))).astype(bool)
    return Deals.of(counts[alone], to_a, counts[rows_a[in_a]], counts[rows_b[in_b]], swap, are_whole=are_whole)
