"""The settings of the analysis commands: frozen, typed, made once at the entry point."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.measures.weighting import Weight
from distributed.settings import ClusterSettings
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class ShiftSettings:
    """Everything ``python -m analysis.shift`` needs.

    Attributes:
        store: where the filters are.
        cluster: which Ray scans them. None is started where no scan is needed.
        axes: what to group by: a column of ``models`` or ``layers``, or ``depth``, ``model``, ``layer``
            (``analysis.selection.grouping``).
        out: folder for the results, made if it is not there; files of an earlier run in it are replaced.
        where: SQL condition on models and layers (``analysis.selection.grouping.select_layers``); None: all of them. It chooses
            what is grouped and never touches the basis, so that runs with other conditions stay comparable and need
            no scan.
        basis: a ``basis.json`` to project on, so that stores can be compared with each other; None: the basis of all
            filters of the store.
        device: where the scan's kernels run: ``cpu``, ``cuda``, or ``auto``: CUDA where Ray has a GPU to give.
        bins: histogram bins per component; with ``basis``, that basis's own number counts.
        max_groups: an axis with more groups than this is refused: its matrix has their square.
        divergence: ``kl`` (the paper's), ``js``, ``wasserstein`` or ``tv`` (``analysis.measures.divergences``).
        weight: what counts the same: ``filters`` (the paper), ``layers`` or ``models``.
        replicates: bootstrap replicates of a matrix, and permutations per pair; 0: no intervals and p-values.
        level: coverage of the intervals.
        seed: of the resampling.
        min_models: cells with a group of fewer models are flagged in the tables and hatched in the pictures.
        max_tested_groups: matrices of more groups get no intervals and p-values.
    """

    store: StoreSettings
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    axes: tuple[str, ...] = ("task", "visual_category", "depth")
    out: str = "shift"
    where: str | None = None
    basis: str | None = None
    device: str = "auto"
    bins: int = 70
    max_groups: int = 2000
    divergence: str = "kl"
    weight: Weight = Weight.filters
    replicates: int = 1000
    level: float = 0.95
    seed: int = 0
    min_models: int = 3
    max_tested_groups: int = 64
