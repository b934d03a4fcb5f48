"""Cosines between layers of equal shape from their sketches: a blocked matrix product per shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.arrays.types import Float32, Float64, Int64
from analysis.ties.marks import Marks

#: A cosine from which two layers count as alike; below it is 0. Sketches know a cosine to 1/16; layers of models that
#: were trained apart reach .3 where they are small or depthwise, .1 else (docs/evidence.md).
ALIKE = 0.3

#: Rows of a block of the product: its columns are all layers of the shape.
_ROWS = 1024


def alike_layers(marks: Marks) -> tuple[Int64, Int64, Float64, Int64]:
    """Models with layers that are alike: (P,) first and second, (P,) the sum of the cosines, (P,) how many layers.

    In each shape a layer is paired with at most one of the other model: both are the most alike to each other.
    """
    keys: list[Int64] = [np.empty(0, np.int64)]
    sums: list[Float64] = [np.empty(0)]
    counts: list[Int64] = [np.empty(0, np.int64)]
    for a, b, cosines in _hits(marks):
        pairs, at = np.unique(marks.model[a] * len(marks.models) + marks.model[b], return_inverse=True)
        keys.append(pairs)
        sums.append(np.bincount(at, cosines, len(pairs)).astype(np.float64))
        counts.append(np.bincount(at, minlength=len(pairs)).astype(np.int64))
    pairs, at = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(at, np.concatenate(sums), len(pairs)).astype(np.float64)
    number = np.bincount(at, np.concatenate(counts), len(pairs)).astype(np.int64)
    return pairs // len(marks.models), pairs % len(marks.models), total, number


def matched_layers(marks: Marks, first: int, second: int) -> tuple[Int64, Int64]:
    """(K,) and (K,) rows of the layers of two models that are alike, paired as in ``alike_layers``."""
    found = list(_hits(marks, np.concatenate([marks.rows_of(first), marks.rows_of(second)])))
    none = np.empty(0, np.int64)
    return (
        np.concatenate([none, *(a for a, _, _ in found)]),
        np.concatenate([none, *(b for _, b, _ in found)]),
    )


def _hits(marks: Marks, rows: Int64 | None = None) -> Iterator[tuple[Int64, Int64, Float64]]:
    """Rows of layers that are paired, the first of the model that comes first, and their cosines; part by part."""
    chosen = np.arange(len(marks.model)) if rows is None else rows
    chosen = chosen[marks.telling[chosen] & ~np.isnan(marks.sketch[chosen, 0])]
    chosen = chosen[np.argsort(marks.shape[chosen], kind="stable")]  # within a shape by model still
    starts = np.flatnonzero(np.diff(marks.shape[chosen], prepend=-1))
    for of_shape in np.split(chosen, starts[1:]):
        if len(of_shape) and marks.model[of_shape[0]] != marks.model[of_shape[-1]]:
            # Divided by the sketch's length, not the weights', which moments tell: so layers that are nearly parallel
            # have a cosine that is nearly exact, and those that are not one that is as good.
            sketches = marks.sketch[of_shape]
            unit = sketches / np.maximum(np.linalg.norm(sketches, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            for a, b, cosines in _hits_of_shape(unit, marks.model[of_shape]):
                yield of_shape[a], of_shape[b], cosines


def _hits_of_shape(unit: Float32, model: Int64) -> Iterator[tuple[Int64, Int64, Float64]]:
    start = 0
    while start < len(unit):
        # Whole models in a block: then all of their layers are seen beside all of a later model's.
        stop = int(np.searchsorted(model, model[min(start + _ROWS, len(unit)) - 1], side="right"))
        product = unit[start:stop] @ unit[start:].T
        at = np.flatnonzero((product >= ALIKE).ravel())  # ten times as fast as nonzero of two dimensions
        cosines = product.ravel()[at].astype(np.float64)
        a, b = at // product.shape[1] + start, at % product.shape[1] + start
        later = model[b] > model[a]
        yield _one_to_one(a[later], b[later], cosines[later], model)
        start = stop


def _one_to_one(a: Int64, b: Int64, cosines: Float64, model: Int64) -> tuple[Int64, Int64, Float64]:
    """Of the hits those that are the largest of a with b's model, and of b with a's; the first of equal ones."""
    order = np.lexsort((b, a, -cosines))
    a, b, cosines = a[order], b[order], cosines[order]
    models = int(model.max()) + 1
    first_of_a = np.unique(a * models + model[b], return_index=True)[1]
    first_of_b = np.unique(b * models + model[a], return_index=True)[1]
    kept = np.intersect1d(first_of_a, first_of_b)
    return a[kept], b[kept], np.minimum(cosines[kept], 1.0)
