"""The settings of ``python -m analysis.compare``: frozen, typed, made once at the entry point."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.measures.weighting import Weight
from distributed.settings import ClusterSettings
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """Everything ``python -m analysis.compare`` needs.

    Attributes:
        store: what to compare with.
        model: the one model to compare: a checkpoint file or folder, ``timm:NAME``, ``hub:ID`` or ``sample:NAME``.
        cluster: which Ray scans the store. None is started where its sketch is there already.
        axes: what to group the store by (``analysis.selection.grouping``).
        out: folder for the results, made if it is not there; files of an earlier run in it are replaced.
        where: SQL condition on models and layers of the store (``analysis.selection.conditions.select_layers``); None: all. It
            chooses what the model is compared with, never the basis.
        basis: a ``basis.json`` to project on; None: the basis of all filters of the store.
        bins: histogram bins per component; with ``basis``, that basis's own number counts.
        divergence: ``kl`` (the paper's), ``js``, ``wasserstein`` or ``tv`` (``analysis.measures.divergences``).
        weight: what counts the same: ``filters`` (the paper), ``layers`` or ``models``.
        replicates: bootstrap replicates per group; 0: no intervals.
        level: coverage of the intervals.
        seed: of the resampling.
        min_models: groups of fewer models are flagged.
        max_groups: an axis with more groups than this is refused.
        prefer_ema: take the EMA copy of a checkpoint that holds both, as ``extract.prefer_ema``.
        include_transposed: compare transposed convolutions as well, as ``extract.include_transposed``.
    """

    store: StoreSettings
    model: str
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    axes: tuple[str, ...] = ("task", "visual_category", "depth")
    out: str = "compare"
    where: str | None = None
    basis: str | None = None
    bins: int = 70
    divergence: str = "kl"
    weight: Weight = Weight.filters
    replicates: int = 1000
    level: float = 0.95
    seed: int = 0
    min_models: int = 3
    max_groups: int = 2000
    prefer_ema: bool = False
    include_transposed: bool = False
