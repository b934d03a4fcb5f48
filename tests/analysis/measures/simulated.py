"""Groups of models made by hand, and the plainest drift between them."""

from __future__ import annotations

import numpy as np

from analysis.measures.divergences import symmetric_kl_of
from analysis.measures.drift import DIVERGENCES
from analysis.measures.weighting import UnitHistograms

COMPONENTS, BINS = 3, 12

#: The real one.
KL = DIVERGENCES["kl"].resampled(np.full(COMPONENTS, 1 / COMPONENTS), -3.0, 3.0)


def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(R, C, B) counts twice → (R,) drifts; NaN where a side has no count."""
    p, q = (np.where(counts > 0, counts, 1e-7) for counts in (first, second))
    p, q = (counts / counts.sum(axis=-1, keepdims=True) for counts in (p, q))
    drift = symmetric_kl_of(p, q, 0.1).mean(axis=-1)
    drift[(first.sum(axis=(-1, -2)) == 0) | (second.sum(axis=(-1, -2)) == 0)] = np.nan
    return drift


def models(random: np.random.Generator, number: int, shift: float = 0.0, spread: float = 0.3) -> np.ndarray:
    """(number, C, B) histograms of about 2 000 filters; every model has its own centre: that is the clustering."""
    centres = random.normal(shift, spread, size=(number, COMPONENTS, 1))
    middle = (np.arange(BINS) + 0.5) * 6 / BINS - 3
    density = np.exp(-((middle - centres) ** 2) / 2)
    return np.rint(2000 * density / density.sum(axis=-1, keepdims=True))


def nested(*groups: np.ndarray) -> UnitHistograms:
    """Each model in one group."""
    sizes = [len(group) for group in groups]
    return UnitHistograms(np.concatenate(groups), np.repeat(np.arange(len(groups)), sizes), np.arange(sum(sizes)))


def shared(*groups: np.ndarray) -> UnitHistograms:
    """Each model with a part in every group, as on the axis depth."""
    number = len(groups[0])
    return UnitHistograms(
        np.concatenate(groups), np.repeat(np.arange(len(groups)), number), np.tile(np.arange(number), len(groups))
    )


def drift_of(found: UnitHistograms, a: int = 0, b: int = 1) -> float:
    """Of two of its groups."""
    sides = (found.counts[found.group == g].sum(axis=0)[None] for g in (a, b))
    return float(between(*sides)[0])
