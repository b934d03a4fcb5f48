"""The settings of ``python -m analysis.report``."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.measures.quality import Weighting
from analysis.measures.weighting import Weight
from distributed.settings import ClusterSettings
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Everything ``python -m analysis.report`` needs.

    Attributes:
        store: where models and layers are.
        cluster: which Ray scans the filters. None is started where no scan is needed.
        axes: what to group by (``analysis.selection.grouping``). One that cannot group this store (no value anywhere, more than
            ``max_groups`` groups) is named in the page with the reason.
        out: folder for ``index.html`` and ``figures/``, made if it is not there; files of an earlier run in it are
            replaced.
        where: SQL condition on models and layers (``analysis.selection.conditions.select_layers``); None: all of them.
        basis: a ``basis.json`` to project on; None: the basis of all filters of the store.
        bins: histogram bins per component; with ``basis``, that basis's own number counts.
        max_groups: the most groups of an axis.
        divergence, weight, replicates, level, seed, min_models, max_tested_groups: of the drift and its uncertainty
            (``analysis.settings.ShiftSettings``).
        subspace: number of leading components whose span is compared between groups, 1 … 8.
        layer_weight: what counts as one observation in summaries of layer quality.
        figures: whether every figure is written as PNG and PDF too.
    """

    store: StoreSettings
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    axes: tuple[str, ...] = ("task", "visual_category", "depth")
    out: str = "report"
    where: str | None = None
    basis: str | None = None
    bins: int = 70
    max_groups: int = 600
    divergence: str = "kl"
    weight: Weight = Weight.filters
    replicates: int = 1000
    level: float = 0.95
    seed: int = 0
    min_models: int = 3
    max_tested_groups: int = 64
    subspace: int = 3
    layer_weight: Weighting = Weighting.layers
    figures: bool = True
