"""Which observations may change places: within strata, and whole units; at random, or all ways there are.

A permutation test compares with what is seen when labels are dealt out anew, so only what would look alike without an
effect may be exchanged (Anderson & ter Braak 2003). Strata: no label leaves its stratum (``strata`` of vegan's adonis2,
blocks of permute). Units: the observations of one stay together and take the labels of another of as many observations,
in any order (whole-block and within-block exchange, Winkler et al. 2015).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64, Int64

#: Permutations that are made, and summed, at once.
BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Arrangements:
    """Permutations of N observations: where ``p[i]`` is i's place, it takes the label of ``p[i]``.

    Attributes:
        number: P, how many there are; the observed one is among them only if they are ``exact``.
        exact: whether they are every different way to deal the labels out, each once.
        blocks: arrays (U, k): U units of k observations that may change places; one block a stratum and size.
        seed: of the random ones.
        listed: (P, N) all of them, where they are exact.
    """

    number: int
    exact: bool
    blocks: tuple[Int64, ...]
    observations: int
    seed: int
    listed: Int64 | None = None

    @property
    def batches(self) -> int:
        """Into how many ``batch`` cuts them."""
        return -(-self.number // BATCH)

    def batch(self, index: int) -> Int64:
        """(up to ``BATCH``, N) permutations; the same whenever it is asked for."""
        size = min(BATCH, self.number - index * BATCH)
        if self.listed is not None:
            return self.listed[index * BATCH : index * BATCH + size]
        random = np.random.default_rng([self.seed, index])
        places = np.tile(np.arange(self.observations), (size, 1))
        for shape, same in itertools.groupby(sorted(self.blocks, key=np.shape), np.shape):
            stacked = np.stack(list(same))  # (blocks, U, k)
            order = np.argsort(random.random((size, *stacked.shape[:2])), axis=2)
            dealt = np.take_along_axis(stacked[None], order[..., None], axis=2)
            if shape[1] > 1:
                within = np.argsort(random.random(dealt.shape), axis=3)
                dealt = np.take_along_axis(dealt, within, axis=3)
            places[:, stacked.ravel()] = dealt.reshape(size, -1)
        return places

    def moves(self, labels: Int64) -> bool:
        """Whether any of them changes these (N,) labels at all: not where each stratum has one."""
        return any(int(np.ptp(labels[block])) > 0 for block in self.blocks)

    def p_value(self, null: Float64, observed: float) -> float:
        """Share of (P,) statistics that reach the observed one, itself counted among random ones (Phipson & Smyth)."""
        # The slack keeps the observed arrangement itself, met again by chance, from missing by a rounding.
        as_large = int((null >= observed - 1e-9 * abs(observed)).sum())
        return as_large / self.number if self.exact else (1 + as_large) / (1 + self.number)


def arrangements_of(cells: Int64, strata: Int64, units: Int64, permutations: int, seed: int) -> Arrangements:
    """All ways to deal the labels out if there are at most ``permutations``, else as many at random.

    Args:
        cells: (N,) the labels, as numbers: those of equal number are the same.
        strata: (N,) numbers; a unit lies in one of them.
        units: (N,) numbers.
        permutations: at least 1.
        seed: of the random numbers.
    """
    of_unit: dict[int, list[int]] = defaultdict(list)
    for observation, unit in enumerate(units.tolist()):
        of_unit[unit].append(observation)
    by_block: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
    for members in of_unit.values():
        by_block[int(strata[members[0]]), len(members)].append(members)
    blocks = tuple(np.array(by_block[key], np.int64) for key in sorted(by_block))
    number = math.prod(_ways(cells[block]) for block in blocks)
    if number > permutations:
        return Arrangements(permutations, False, blocks, len(cells), seed)
    listed = np.tile(np.arange(len(cells)), (number, 1))
    for row, dealt in zip(listed, itertools.product(*(_deals(cells[block]) for block in blocks)), strict=True):
        for block, order in zip(blocks, dealt, strict=True):
            row[block.ravel()] = block.ravel()[list(order)]
    return Arrangements(number, True, blocks, len(cells), seed, listed)


def _ways(labels: Int64) -> int:
    """How many different ways there are to deal (U, k) labels out: units among each other, and within each."""
    rows = Counter(tuple(sorted(row)) for row in labels.tolist())
    among = math.factorial(len(labels)) // math.prod(map(math.factorial, rows.values()))
    within = (
        math.factorial(labels.shape[1]) // math.prod(map(math.factorial, Counter(row).values()))
        for row in rows.elements()
    )
    return among * math.prod(within)


def _deals(labels: Int64) -> Iterator[tuple[int, ...]]:
    """Every such way, each once: for the places 0 … U·k-1 which place's label they take."""
    size = labels.shape[1]
    kinds = [tuple(sorted(row)) for row in labels.tolist()]
    within = [list(_orders(row)) for row in labels.tolist()]
    for order in _orders(kinds):
        for inner in itertools.product(*(within[source] for source in order)):
            yield tuple(source * size + at for source, places in zip(order, inner, strict=True) for at in places)


def _orders(labels: Sequence[object]) -> Iterator[list[int]]:
    """Every different order of labels, each once, as the places they come from; in lexical order (Narayana's)."""
    names = sorted(set(labels))  # type: ignore[type-var]
    code = [names.index(label) for label in labels]
    sources = [[place for place, each in enumerate(code) if each == kind] for kind in range(len(names))]
    order = sorted(code)
    while True:
        taken = [iter(each) for each in sources]
        yield [next(taken[kind]) for kind in order]
        rising = next((i for i in range(len(order) - 2, -1, -1) if order[i] < order[i + 1]), None)
        if rising is None:
            return
        larger = next(j for j in range(len(order) - 1, rising, -1) if order[j] > order[rising])
        order[rising], order[larger] = order[larger], order[rising]
        order[rising + 1 :] = reversed(order[rising + 1 :])
