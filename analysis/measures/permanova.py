"""PERMANOVA: how much of the distances between observations each factor explains (Anderson 2001).

G = −½ C d² C, C centring, holds the inner products of the observations around their centroid (Gower 1966); a set of
factors explains tr(H G), H the projection on its design (McArdle & Anderson 2001). As H holds the constant, that is
tr(H A) + SST with A = −d²/2 and SST = Σ d² / 2N, so that nothing is centred. **Terms**: of each factor after those
before it. **Margin**: of each after all others. Pseudo-F = (SS / df) / (residual SS / residual df). p: whole rows of
the design are permuted (``analysis.measures.exchange``), as ``adonis2`` of the R package vegan does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.designs import Design
from analysis.measures.exchange import Arrangements
from analysis.scanning.thread_workers import usable_cpus


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What each of K factors explains; NaN where no permutation says it.

    Attributes:
        df, ss, r2, f: (K,) degrees of freedom, sums of squares, their share of all, pseudo-F.
        r2_chance: (K,) mean share that the same factor has when its labels are dealt out anew: the larger, the more
            levels it has.
        p: (K,) of the pseudo-F; NaN as well where a factor never differs within strata.
    """

    df: Int64
    ss: Float64
    r2: Float64
    f: Float64
    r2_chance: Float64
    p: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Permanova:
    """Of one matrix of distances.

    Attributes:
        terms: after the factors before.
        margin: after all others.
        residual_ss, residual_df: what no factor explains.
        total_ss: all.
        arrangements: what p rests on; None: nothing was permuted.
    """

    terms: Explained
    margin: Explained
    residual_ss: float
    residual_df: int
    total_ss: float
    arrangements: Arrangements | None

    @property
    def r2(self) -> float:
        """Share of all that the factors explain together."""
        return 1.0 - self.residual_ss / self.total_ss

    @property
    def shared(self) -> float:
        """Share of all that the factors explain together, but that none of them adds to the others.

        Below 0 where factors explain more together than each by itself.
        """
        return self.r2 - float(self.margin.r2.sum())


def permanova(squared: Float64, design: Design, arrangements: Arrangements | None) -> Permanova:
    """PERMANOVA of (N, N) d².

    Args:
        squared: symmetric, 0 on the diagonal, not 0 everywhere.
        design: of the N observations.
        arrangements: of their labels; None: no p.
    """
    from analysis.measures import permanova_loops  # imports numba

    total, rows = float(squared.sum()) / 2 / len(squared), permanova_loops.packed(squared)
    observed = _explained_by_sets(rows, design, np.arange(len(squared))[None], total)
    null = np.empty((0, observed.shape[1]))
    if arrangements is not None:
        with ThreadPoolExecutor(usable_cpus(), thread_name_prefix="permanova") as pool:
            batches = range(arrangements.batches)
            null = np.concatenate(
                list(pool.map(lambda b: _explained_by_sets(rows, design, arrangements.batch(b), total), batches))
            )
    residual = total - float(observed[0, len(design.factors) - 1])

    def explained(ways: str) -> Explained:
        df = design.df_terms if ways == "terms" else design.df_margin
        (ss,), ss_null = _parts(observed, design, ways), _parts(null, design, ways)
        f, f_null = (_pseudo_f(each, sets, design, df, total) for each, sets in ((ss[None], observed), (ss_null, null)))
        p = np.full(len(df), np.nan)
        if arrangements is not None:
            for k, factor in enumerate(design.factors):
                if arrangements.moves(factor.codes):
                    p[k] = arrangements.p_value(f_null[:, k], float(f[0, k]))
        chance = ss_null.mean(axis=0) / total if len(null) else np.full(len(df), np.nan)
        return Explained(df, ss, ss / total, f[0], chance, p)

    return Permanova(explained("terms"), explained("margin"), residual, design.residual_df, total, arrangements)


def _explained_by_sets(rows: Float64, design: Design, places: Int64, total: float) -> Float64:
    """(R, S) sums of squares of every set of factors of the design, for each of (R, N) permutations."""
    from analysis.measures import permanova_loops
    from distributed.compiled import compiled

    traces = np.empty((len(places), len(design.inverses)))
    columns = np.ascontiguousarray(design.columns.T)
    compiled(permanova_loops, "projected_traces")(rows, columns, places, design.inverses, traces)
    return total - traces / 2


def _parts(of_sets: Float64, design: Design, ways: str) -> Float64:
    """(R, K) sums of squares of each factor, from (R, S) of sets."""
    number = len(design.factors)
    if ways == "terms":
        return np.diff(of_sets[:, :number], axis=1, prepend=0.0)
    others = of_sets[:, number:] if number > 1 else np.zeros((len(of_sets), 1))
    return of_sets[:, number - 1 : number] - others


def _pseudo_f(ss: Float64, of_sets: Float64, design: Design, df: Int64, total: float) -> Float64:
    """(R, K); infinite where nothing is left over."""
    residual = total - of_sets[:, len(design.factors) - 1]
    with np.errstate(divide="ignore"):
        f: Float64 = (ss / df) / (np.maximum(residual, 0.0) / design.residual_df)[:, None]
    return f
