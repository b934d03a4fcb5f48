"""How far one model is from groups of models: drift, its interval, and what is usual within the group. No scan.

The model itself is fixed; only the group's models (lineages, if these are the unit) are drawn again. So an interval
says how much the drift depends on which models happen to be in the group, and nothing about how the model would have
come out if trained again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays.basis import Basis
from analysis.arrays.types import Float64
from analysis.measures.drift import Divergence
from analysis.measures.uncertainty import Resampling
from analysis.measures.weighting import UnitHistograms, component_weights, without_each
from analysis.settings import ComponentWeight

#: Pairs measured at once: two float64 arrays of 256 x 2 x 630 are 5 MB.
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Ruler:
    """Measures the drift between histograms (…, C, B) on one basis by one divergence."""

    divergence: Divergence
    basis: Basis
    components: ComponentWeight = ComponentWeight.evr

    def between(self, first: Float64, second: Float64) -> Float64:
        """(N,) drifts of N pairs of counts, each (N, C, B) or (C, B); NaN where one has no count in a component."""
        basis = self.basis
        measure = self.divergence.resampled(component_weights(basis, self.components), basis.low, basis.high)
        first, second = np.broadcast_arrays(first, second)
        result = np.full(len(first), np.nan)
        filled = (first.sum(axis=-1) > 0).all(axis=-1) & (second.sum(axis=-1) > 0).all(axis=-1)
        rows = np.flatnonzero(filled)
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            result[some] = measure.matrices(np.stack([first[some], second[some]], axis=1))[:, 0, 1]
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """One model against G groups; NaN where a number cannot be known.

    Attributes:
        drift: (G,) between the model and each group.
        low, high: (G,) bounds of the bootstrap interval; NaN for groups of fewer than two units.
        usual: (G,) median drift between each of the group's own units and the rest of the group; likewise.
        farther: (G,) share of the group's units that are farther from the rest of it than the model is.
    """

    drift: Float64
    low: Float64
    high: Float64
    usual: Float64
    farther: Float64


def place(own: Float64, groups: UnitHistograms, ruler: Ruler, resampling: Resampling | None) -> Placement:
    """Where a model sits.

    Args:
        own: (G, C, B) what of the model is compared with each group; a row without counts gives NaN.
        groups: the groups' units, without the model itself.
        ruler: how drift is measured.
        resampling: of the interval (``replicates``, ``level``, ``seed``); None: no intervals.
    """
    number = groups.groups
    totals = groups.group_sums
    drift = ruler.between(own, totals)
    low, high = np.full(number, np.nan), np.full(number, np.nan)
    usual, farther = np.full(number, np.nan), np.full(number, np.nan)
    streams = np.random.default_rng(0 if resampling is None else resampling.seed).spawn(number)
    for g in range(number):
        rows = groups.rows_of(g)
        if len(rows) < 2 or np.isnan(drift[g]):
            continue
        members = groups.counts[rows]
        within = ruler.between(members, without_each(members, totals[g]))
        within = within[np.isfinite(within)]
        if len(within):
            usual[g], farther[g] = np.median(within), (within > drift[g]).mean()
        if resampling is not None:
            low[g], high[g] = _interval(own[g], members, ruler, resampling, streams[g])
    return Placement(drift, low, high, usual, farther)


def _interval(
    own: Float64, members: Float64, ruler: Ruler, resampling: Resampling, random: np.random.Generator
) -> tuple[float, float]:
    """Percentile bounds of the drift to as many of the group's models, drawn with replacement."""
    number = len(members)
    flat = members.reshape(number, -1)
    drifts = []
    for start in range(0, resampling.replicates, _AT_ONCE):
        size = min(_AT_ONCE, resampling.replicates - start)
        drawn = random.multinomial(number, np.full(number, 1 / number), size=size).astype(np.float64)
        drifts.append(ruler.between(own, (drawn @ flat).reshape(size, *own.shape)))
    tail = (1 - resampling.level) / 2
    low, high = np.nanquantile(np.concatenate(drifts), [tail, 1 - tail])
    return float(low), float(high)


def percentiles(values: Float64, among: Float64) -> Float64:
    """(N,) per cent of the finite numbers in ``among`` that are smaller, equal ones counting half; NaN stays NaN."""
    known = np.sort(among[np.isfinite(among)])
    if not known.size:
        return np.full(len(values), np.nan)
    below = np.searchsorted(known, values, side="left")
    upto = np.searchsorted(known, values, side="right")
    result: Float64 = np.where(np.isfinite(values), 50.0 * (below + upto) / known.size, np.nan)
    return result
