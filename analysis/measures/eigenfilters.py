"""Eigenfilters: the principal components of the scaled filters of any set of layers, and how well two sets agree.

All of it follows from the moments in ``layers`` (DESIGN §4, §5): no filter is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.arrays.types import Bool, Float64
from analysis.measures.symmetry import Symmetry, symmetry_of
from analysis.selection.grouping import Group, Grouping
from distributed.errors import UserError

#: Fewer filters than this cannot span nine directions about their mean.
FEW_FILTERS = 10

#: A component with a smaller share of the variance than this is rounding: its direction means nothing.
NO_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The structure of one set of filters.

    Attributes:
        group: whose it is, and how many filters, layers and models it rests on.
        moments: of its scaled filters.
        principal: its components; None where there is none: fewer than 2 filters, or all equal up to their scale.
    """

    group: Group
    moments: Moments
    principal: PrincipalAxes | None

    @property
    def symmetry(self) -> Symmetry:
        """How much of its filters' energy is odd under which symmetry, and of which frequency."""
        return symmetry_of(self.moments)

    @property
    def few_filters(self) -> bool:
        """Whether there are too few filters (< 10) for nine components."""
        return self.moments.count < FEW_FILTERS

    @property
    def ratio(self) -> Float64:
        """(9,) explained variance ratio, NaN where there are no components."""
        return self.principal.explained_variance_ratio if self.principal else np.full(9, np.nan)

    @property
    def cumulative(self) -> Float64:
        """(9,) explained variance ratio of the first component, the first two, …, all nine (1)."""
        return np.cumsum(self.ratio)

    @property
    def total_variance(self) -> float:
        """Trace of the covariance, NaN for fewer than 2 filters."""
        return float(np.trace(self.moments.covariance)) if self.moments.count > 1 else float("nan")

    @property
    def directed(self) -> Bool:
        """(9,) whether each component has variance, and so a direction that means something."""
        return np.asarray(np.nan_to_num(self.ratio) > NO_VARIANCE)

    @property
    def separated(self) -> Bool:
        """(9,) whether each component stands apart from its neighbours.

        North et al. (1982, Monthly Weather Review 110), rule of thumb: an eigenvalue λ of n samples has a standard
        error of λ √(2/n); where a neighbour is nearer than that, the two components are an arbitrary mixture of each
        other. n is the number of filters; filters of one model resemble each other, so the rule errs towards "apart".
        """
        ratio = np.nan_to_num(self.ratio)
        gaps = np.abs(np.diff(ratio))
        nearest = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
        return np.asarray(self.directed & (nearest > ratio * np.sqrt(2 / max(self.moments.count, 1))))


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well the components of G groups agree, pair by pair; NaN where a direction is missing.

    Attributes:
        cosines: (G, G, 9) |cos| of the angle between the i-th components of both.
        agreement: (G, G) Σᵢ wᵢ |cos|ᵢ with wᵢ the mean of both explained variance ratios (they sum to 1): 1 for the
            same components in the same order, whatever their signs. This is Eros (Yang & Shahabi 2004, "A PCA-based
            similarity measure for multivariate time series", MMDB), its weights from the two sets compared. A component
            that one of them lacks agrees by 0. It falls where two components of near equal variance swap ranks,
            though they span the same plane: look at ``angles`` then.
        angles: (G, G, k) principal angles between the subspaces of the k leading components, in degrees, rising
            (Björck & Golub 1973; small ones from their sines, Knyazev & Argentati 2002).
        similarity: (G, G) mean of the squared cosines of ``angles`` (Krzanowski 1979, JASA 74): 1 for the same
            subspace.
    """

    cosines: Float64
    agreement: Float64
    angles: Float64
    similarity: Float64


def structure_of(layers: pa.Table, group: Group) -> Structure:
    """The structure of all filters of ``layers``: rows of the store's table ``layers``."""
    return structure_from(Moments.from_layers(layers), group)


def structure_from(moments: Moments, group: Group) -> Structure:
    """The structure of filters of these moments."""
    try:
        principal = PrincipalAxes.from_moments(moments)
    except UserError:  # one filter, or equal ones: a fact to flag about a group, not the end of the command
        principal = None
    return Structure(group, moments, principal)


def structures_by(layers: pa.Table, grouping: Grouping) -> tuple[Structure, ...]:
    """The structure of each group, in their order; ``layers`` holds at least the grouping's layers."""
    # One chunk of the columns that count: taking rows from a table of thousands of chunks is slow.
    layers = layers.select(["layer_id", "num_filters", "scaled_sum", "scaled_gram"]).combine_chunks()
    row_of = {layer_id: row for row, layer_id in enumerate(layers.column("layer_id").to_pylist())}
    rows = np.array([row_of[int(layer_id)] for layer_id in grouping.layer_ids], dtype=np.int64)
    return tuple(
        structure_of(layers.take(pa.array(rows[grouping.codes == code])), group)
        for code, group in enumerate(grouping.groups)
    )


def agreement_of(structures: Sequence[Structure], subspace: int) -> Agreement:
    """The agreement of every pair; ``subspace`` is k, the number of leading components whose span is compared.

    Raises:
        ValueError: k is not 1 … 8 (all nine always span the same space).
    """
    found = agreement_between(structures, structures, subspace)
    # Exactly 1 and 0, where rounding would say almost.
    known = np.flatnonzero(~np.isnan(np.diag(found.agreement)))
    found.agreement[known, known] = 1.0
    spanned = np.flatnonzero(~np.isnan(np.diag(found.similarity)))
    found.angles[spanned, spanned] = 0.0
    found.similarity[spanned, spanned] = 1.0
    return found


def agreement_between(first: Sequence[Structure], second: Sequence[Structure], subspace: int) -> Agreement:
    """The agreement of each of F structures with each of G: the arrays of ``Agreement`` begin with (F, G).

    Raises:
        ValueError: k is not 1 … 8.
    """
    if not 1 <= subspace <= 8:
        raise ValueError(f"subspace must be 1 … 8 leading components, not {subspace}")
    ours, theirs = _stacked(first), _stacked(second)
    cosines = np.empty((len(first), len(second), 9))
    for index in range(9):  # component by component: nine products of matrices instead of one large contraction
        cosines[..., index] = np.minimum(np.abs(ours.components[:, index] @ theirs.components[:, index].T), 1.0)
    cosines[~np.logical_and(ours.directed[:, None], theirs.directed[None])] = np.nan
    weights = (ours.ratio[:, None] + theirs.ratio[None]) / 2  # NaN where a group has no components at all
    agreement = np.einsum("abi,abi->ab", weights, np.nan_to_num(cosines))
    angles = np.empty((len(first), len(second), subspace))
    for index, basis in enumerate(ours.components[:, :subspace]):
        angles[index] = _principal_angles(basis, theirs.components[:, :subspace])
    spanned = np.logical_and.outer(ours.directed[:, :subspace].all(axis=1), theirs.directed[:, :subspace].all(axis=1))
    angles[~spanned] = np.nan
    similarity = (np.cos(np.radians(angles)) ** 2).mean(axis=-1)
    return Agreement(cosines, agreement, angles, similarity)


@dataclass(frozen=True, slots=True, eq=False)
class _Stacked:
    """Of G structures: ``components`` (G, 9, 9), 0 where there are none, ``ratio`` (G, 9), ``directed`` (G, 9)."""

    components: Float64
    ratio: Float64
    directed: Bool


def _stacked(structures: Sequence[Structure]) -> _Stacked:
    number = len(structures)
    components = np.zeros((number, 9, 9))
    for index, structure in enumerate(structures):
        if structure.principal is not None:
            components[index] = structure.principal.components
    ratio = np.array([structure.ratio for structure in structures]).reshape(number, 9)
    directed = np.array([structure.directed for structure in structures], dtype=bool).reshape(number, 9)
    return _Stacked(components, ratio, directed)


def _principal_angles(basis: Float64, others: Float64) -> Float64:
    """(G, k) rising angles in degrees between the row space of a (k, n) orthonormal basis and those of (G, k, n)."""
    products = others @ basis.T
    cosines = np.clip(np.linalg.svd(products, compute_uv=False), 0.0, 1.0)
    residuals = others - products @ basis
    # The singular values of (k, n) matrices as roots of the eigenvalues of (k, k) ones would lose half the digits.
    sines = np.clip(np.linalg.svd(residuals, compute_uv=False)[:, ::-1], 0.0, 1.0)
    # A cosine near 1 has lost the digits of a small angle, a sine near 1 those of a large one.
    return np.asarray(np.degrees(np.where(cosines**2 >= 0.5, np.arcsin(sines), np.arccos(cosines))))
