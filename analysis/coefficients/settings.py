"""The settings of ``python -m analysis.coefficients``: frozen, typed, made once at the entry point."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.measures.weighting import Weight
from distributed.settings import ClusterSettings
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class CoefficientSettings:
    """Everything ``python -m analysis.coefficients`` needs.

    Attributes:
        store: where the filters are.
        cluster: which Ray scans them. None is started where no scan is needed.
        axes: what to group by (``analysis.selection.grouping``).
        out: folder for the results, made if it is not there; files of an earlier run in it are replaced.
        where: SQL condition on models and layers (``analysis.selection.conditions.select_layers``); None: all of them.
        basis: a ``basis.json`` to project on; None: the basis of all filters of the store.
        bins: histogram bins per component of the ridges; with ``basis``, that basis's own number counts.
        weight: what counts the same in the ridges: ``filters`` (the paper), ``layers`` or ``models``.
        pairs: pairs of components (1 … 9) whose two-dimensional densities are wanted; none: no pass over the filters.
        layers: SQL condition like ``where``: densities of each of these layers instead of those of groups.
        density_bins: bins along each axis of a density, a multiple of 24.
        max_groups: an axis with more groups than this is refused.
    """

    store: StoreSettings
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    axes: tuple[str, ...] = ("task", "visual_category", "depth")
    out: str = "coefficients"
    where: str | None = None
    basis: str | None = None
    bins: int = 70
    weight: Weight = Weight.filters
    pairs: tuple[list[int], ...] = ()
    layers: str | None = None
    density_bins: int = 96
    max_groups: int = 500
