"""Layers that are equal, and layers that are equal up to a factor of each channel: who shares how many with whom."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt

from analysis.arrays.types import Int64
from analysis.ties.components import components
from analysis.ties.marks import Marks

#: Second moments of scaled filters (means of products of numbers up to 1) of folded weights and of those before differ
#: by rounding alone: each weight of float32 by 1e-7 of itself. Those of unrelated layers differ in the second digit.
SAME_MOMENTS = 2e-6

#: Neighbours, sorted along one direction, that a layer's second moments are compared with.
_NEIGHBOURS = 4


def weight_sets(model: Int64, digest: npt.NDArray[np.generic], models: int) -> Int64:
    """(M,) models whose layers have equal digests, each as often, bear the same number; the first of them its own.

    Args:
        model: (N,) of each layer.
        digest: (N,) of each layer; a negative number, or an empty text, is not known and equal to none.
        models: M.
    """
    sets: dict[bytes, int] = {}
    found = np.arange(models, dtype=np.int64)
    known = digest != "" if digest.dtype.kind == "U" else digest.astype(np.int64) >= 0
    order = np.lexsort((digest, model))
    bounds = np.searchsorted(model[order], np.arange(models + 1))
    for m in range(models):
        rows = order[bounds[m] : bounds[m + 1]]
        if rows.size and known[rows].all():
            found[m] = sets.setdefault(digest[rows].tobytes(), m)
    return found


def same_up_to_factors(marks: Marks) -> Int64:
    """(N,) layers whose weights may be equal up to a factor of each output channel bear the same number; -1: none.

    Batch-norm that is folded into a convolution multiplies each output channel by a factor of either sign. Scaled
    filters f / max|f| keep but the sign of it, and the products of their entries not even that.
    """
    direction = np.random.default_rng(0).standard_normal(marks.second_moments.shape[1])
    along = marks.second_moments @ direction
    order = np.lexsort((along, marks.shape))
    order = order[marks.telling[order]]
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for step in range(1, _NEIGHBOURS + 1):
        a, b = order[:-step], order[step:]
        near = (marks.shape[a] == marks.shape[b]) & (along[b] - along[a] <= SAME_MOMENTS * np.abs(direction).sum())
        a, b = a[near], b[near]
        equal = (np.abs(marks.second_moments[a] - marks.second_moments[b]) <= SAME_MOMENTS).all(axis=1)
        first.append(a[equal])
        second.append(b[equal])
    codes = components(np.concatenate(first), np.concatenate(second), len(marks.model))
    codes[~marks.telling] = -1
    return codes


def in_common(marks: Marks, codes: Int64) -> tuple[Int64, Int64, Int64]:
    """Which models share layers of equal ``codes``: (P,) first and (P,) second model, first < second, (P,) how many.

    Layers that are shared by the very same models are paired once, so that a backbone frozen in k models costs k²
    pairs whatever its depth.
    """
    chosen = marks.telling & (codes >= 0)
    by_code: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for code, model in zip(codes[chosen].tolist(), marks.model[chosen].tolist(), strict=True):
        by_code[code][model] += 1
    by_models: Counter[tuple[int, ...]] = Counter()
    for sharing in by_code.values():
        if len(sharing) > 1:
            # A model with two copies shares both with one that has two, one with one that has one.
            for copies in range(1, max(sharing.values()) + 1):
                by_models[tuple(sorted(m for m, times in sharing.items() if times >= copies))] += 1
    keys, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for together, layers in by_models.items():
        members = np.array(together, np.int64)
        a, b = np.triu_indices(len(members), 1)
        keys.append(members[a] * len(marks.models) + members[b])
        counts.append(np.full(len(a), layers, np.int64))
    pairs, at = np.unique(np.concatenate(keys), return_inverse=True)
    number = np.bincount(at, np.concatenate(counts), len(pairs)).astype(np.int64)
    return pairs // len(marks.models), pairs % len(marks.models), number
