"""Filters that no network learned, on the basis in use: what groups of trained ones are held against.

A filter of nine independent weights of N(0, σ²), or of U(−a, a), has one distribution once it is scaled by its largest
magnitude, whatever σ or a: f/max|f| is the same for c·f. So one sample stands for every initialisation of this kind
(He et al. 2015 draw normal or uniform weights; fan and gain only set σ or a), and for any layer that training has only
scaled since. The sample is drawn from a fixed seed, and again whenever it is needed: no store holds it, and neither
the basis nor its range knows of it. Coefficients beyond the range are counted apart, as on any given basis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.arrays.kernels import kernels_for
from analysis.arrays.moments import Moments
from analysis.arrays.preparation import prepared
from analysis.arrays.sketch import Sketch, merge_sketches
from analysis.arrays.types import Float32, Int64
from analysis.settings import Baseline
from distributed.formulas import scale_filters
from distributed.records import MODEL_BITS_SHIFT

#: Filters of a sample: its histograms' own noise is far below that of any layer.
UNTRAINED_FILTERS = 1 << 20

_SEED = 0


def untrained_filters(kind: Baseline, number: int = UNTRAINED_FILTERS, seed: int = _SEED) -> Float32:
    """(number, 9) weights, the same for the same seed (and NumPy, whose streams may change between versions)."""
    random = np.random.default_rng(seed)
    if kind is Baseline.normal:
        return random.standard_normal((number, 9), np.float32)
    return 2 * random.random((number, 9), np.float32) - 1


def untrained_layer_id(kind: Baseline) -> int:
    """The layer that stands for a sample, of a model of its own; those of a store are not negative."""
    return -(1 + list(Baseline).index(kind)) << MODEL_BITS_SHIFT


def untrained_sketch(kind: Baseline, like: Sketch) -> Sketch:
    """One layer's histograms, on the basis of a sketch and of filters prepared as its are.

    Sparse filters are those of a layer beside far larger ones: a sample of equal ones has none.
    """
    basis, columns = like.basis, list(np.ascontiguousarray(untrained_filters(kind).T))
    columns, _ = prepared(columns, None, like.preparation.rounding)
    starts = np.array([0, UNTRAINED_FILTERS], np.int64)
    slots: Int64 = (
        kernels_for("cpu").histograms(columns, starts, basis.projection, basis.binning).counts.astype(np.int64)
    )
    layer_ids = np.array([untrained_layer_id(kind)], np.int64)
    counts = np.ascontiguousarray(slots[:, :, 1:-1])
    return Sketch(layer_ids, counts, slots[:, :, 0], slots[:, :, -1], basis, preparation=like.preparation)


def with_untrained(sketch: Sketch, kinds: Sequence[Baseline]) -> Sketch:
    """A sketch with a row for each kind, for groupings that name them; itself for none."""
    more = [untrained_sketch(kind, sketch) for kind in dict.fromkeys(kinds)]
    return merge_sketches([sketch, *more]) if more else sketch


def untrained_moments(kind: Baseline) -> Moments:
    """Of the scaled filters."""
    scaled = scale_filters(untrained_filters(kind))
    lower = (scaled.T @ scaled)[np.tril_indices(9)]
    return Moments.from_sums(np.array([len(scaled)]), scaled.sum(axis=0)[None], lower[None])
