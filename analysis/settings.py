"""The settings that commands share: frozen, typed, made once at the entry point. What each means stands beside it.

A command's own settings extend one of these in ``analysis/<command>/settings.py``:

* ``ViewSettings``: a store, and what the user knows about its models;
* ``GroupSettings``: layers by group;
* ``SketchSettings``: and the histograms of their filters (``HistogramSettings``);
* ``DriftSettings``: and drifts between them, with how sure they are;
* ``MatrixSettings``: and those of every two groups.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any

from distributed.errors import UserError
from distributed.exports import lazily
from distributed.setting import check_bounds, setting
from distributed.settings import ClusterSettings
from distributed.store import StoreSettings

#: Bins of the published histograms.
DEFAULT_BINS = 70

#: What is grouped by where nothing else is asked for.
DEFAULT_AXES = ("task", "visual_category", "depth")


class Weight(StrEnum):
    """What counts the same. Lower case, because OmegaConf matches overrides by member name.

    ``filters``: each filter (the paper). ``layers``: each layer, whatever its size. ``models``: each model in every
    group it has layers in, whatever their number.
    """

    filters = "filters"
    layers = "layers"
    models = "models"


class LayerWeight(StrEnum):
    """What counts the same in summaries of layers: as ``Weight``, or what a metric is measured of.

    ``measured``: clean filters for the clean entropy, output channels for the orthogonality, filters for the others
    (the robustness paper, arXiv 2204.02481).
    """

    filters = "filters"
    layers = "layers"
    models = "models"
    measured = "measured"


class FirstLayer(StrEnum):
    """Where the first layer of a model stands on the axis ``depth``.

    ``within``: in the first decile. ``apart``: the axis becomes ``depth_first``, the first layer and deciles of the
    others (the robustness paper, arXiv 2204.02481).
    """

    within = "within"
    apart = "apart"


class Order(StrEnum):
    """Of the groups in a matrix. ``mean_drift``: rising by their mean drift, as the paper's figures have it."""

    name = "name"
    mean_drift = "mean_drift"


class Filters(StrEnum):
    """Which filters count. ``clean``: those that are not sparse (DESIGN §4)."""

    all = "all"
    clean = "clean"


class Unit(StrEnum):
    """What is one observation: what is resampled, dealt out and left out.

    ``lineage``: models that descend from one another are one (``analysis.lineage``).
    """

    model = "model"
    lineage = "lineage"


class Adjust(StrEnum):
    """What a p-value is controlled for over the pairs of one matrix (``analysis.measures.adjusting``).

    ``bh``: false discoveries (Benjamini & Hochberg 1995); ``by``: the same whatever the pairs have in common
    (Benjamini & Yekutieli 2001); ``max``: any false discovery at all (Westfall & Young 1993).
    """

    bh = "bh"
    by = "by"
    max = "max"


class Middle(StrEnum):
    """Of a group of models, where its spread is measured from."""

    median = "median"
    centroid = "centroid"


class Shared(StrEnum):
    """How a model counts on a side of paired models: ``each``: once a pair it stands in; ``once``: once."""

    each = "each"
    once = "once"


class Duplicates(StrEnum):
    """What becomes of models with the same weights: other formats, re-uploads.

    ``drop``: of those that take part, the first by name counts, and a note says which do not. Only what is equal to the
    bit in every layer is a duplicate: folded copies, fine-tunes and averages are other weights.
    """

    drop = "drop"
    keep = "keep"


class Rounding(StrEnum):
    """Of weights, before they are scaled."""

    none = "none"
    float16 = "float16"


class Baseline(StrEnum):
    """Filters that no network learned: nine independent weights of one distribution (``analysis.arrays.untrained``)."""

    normal = "normal"
    uniform = "uniform"


class ComponentWeight(StrEnum):
    """What each of the nine components counts in a drift: its explained variance ratio (the paper), or 1/9."""

    evr = "evr"
    equal = "equal"


#: What the setting ``duplicates`` means, of every command that groups.
WHICH_DUPLICATES = "drop | keep: models with the same weights count once (drop), or each (keep)"

#: What the setting ``filters`` means, of every command that reads filters or their moments.
WHICH_FILTERS = "all | clean: clean leaves out sparse filters, all |w| < max|layer| / 100"

#: What the setting ``baseline`` means, of every command that compares groups.
WHICH_BASELINE = "groups of untrained filters beside those of each axis: [normal,uniform]; []: none"


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """Of every command."""

    store: StoreSettings
    _: KW_ONLY
    labels: str | None = setting(
        None, "CSV, Parquet or YAML, local or s3://: labels by model_id, name, uri or file, in place of the store's"
    )
    where: str | None = setting(
        None, "SQL condition on models and layers: where=\"task = 'Segmentation' and conv_depth > 0\""
    )
    out: str = setting(..., "folder of the results; files of an earlier run in it are replaced")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings(ViewSettings):
    """Of commands that group. ``where`` chooses what is grouped; it never touches a basis."""

    axes: tuple[str, ...] = setting(DEFAULT_AXES, "columns of models and layers; depth (deciles), model, layer")
    first_layer: FirstLayer = setting(
        FirstLayer.within, "within | apart: of the first decile of the axis depth, or a group beside ten deciles"
    )
    max_groups: int = setting(2000, "an axis with more groups is refused: its matrix has their square", (1, 1_000_000))
    duplicates: Duplicates = setting(Duplicates.drop, WHICH_DUPLICATES)

    def __post_init__(self) -> None:
        """Raises UserError where a value makes no sense, known before anything is read."""
        check_bounds(self)
        axes: Any = self.axes
        if isinstance(axes, str) or not all(isinstance(axis, str) for axis in axes):
            raise UserError(f"axes={axes!r}: give a list of names, as in 'axes=[task,depth]'")
        object.__setattr__(self, "axes", self.on_depth(self.axes))

    def on_depth(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """The axes with the one for depth that ``first_layer`` asks for."""
        if self.first_layer is FirstLayer.within:
            return axes
        crossed = [[part.strip() for part in axis.split("*")] for axis in axes]
        return tuple("*".join("depth_first" if part == "depth" else part for part in parts) for parts in crossed)


@dataclass(frozen=True, kw_only=True)
class HistogramSettings:
    """How filters become histograms. No Ray of ``cluster`` is started where no scan needs one.

    Without slots, so that it can stand beside ``ViewSettings`` in one class.
    """

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    basis: str | None = setting(
        None, "a basis.json to project on, to compare stores; null: the basis of all filters of the store"
    )
    bins: int = setting(DEFAULT_BINS, "of the histograms; with basis, that basis's own", (2, 10_000))
    filters: Filters = setting(Filters.all, WHICH_FILTERS)
    rounding: Rounding = setting(
        Rounding.none, "none | float16: of every weight before it is scaled; float16 needs a pass for the moments"
    )
    span: tuple[float, ...] = setting(
        (), "[low,high] of the histograms: coefficients beyond count in none; []: that of all coefficients"
    )

    def check_span(self) -> None:
        """Raises UserError where ``span`` makes no sense, known before anything is read."""
        span: Any = self.span
        if span and (len(span) != 2 or not -math.inf < span[0] < span[1] < math.inf):
            raise UserError(f"span={list(span)}: give two rising numbers, as in 'span=[-3,3]', or []")
        if span and self.basis is not None:
            raise UserError("span and basis: a basis has a range of its own; give one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchSettings(HistogramSettings, GroupSettings):
    """Of commands on the histograms of groups."""

    def __post_init__(self) -> None:
        """See ``GroupSettings``."""
        GroupSettings.__post_init__(self)
        self.check_span()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings(SketchSettings):
    """Of commands that measure drift."""

    divergence: str = setting("kl", "kl (symmetric, the paper's) | js | wasserstein | tv")
    weight: Weight = setting(Weight.filters, "what counts the same: filters (the paper) | layers | models")
    components: ComponentWeight = setting(
        ComponentWeight.evr, "evr (the paper) | equal: what each of the nine components counts in a drift"
    )
    replicates: int = setting(
        1000,
        "permutations of each pair, or bootstrap draws of each group (compare); 0: no intervals and p-values",
        (0, 1_000_000),
    )
    level: float = setting(0.95, "coverage of the intervals", (0.001, 0.9999))
    seed: int = setting(0, "of the resampling", (0, 2**63 - 1))
    unit: Unit = setting(Unit.model, "model | lineage: one observation; lineage: models that descend from one another")
    min_models: int = setting(3, "cells with a group of fewer models (lineages, if unit) are flagged", (0, 1_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSettings(DriftSettings):
    """Of commands that measure the drift of every two groups."""

    baseline: tuple[Baseline, ...] = setting((), WHICH_BASELINE)
    max_tested_groups: int = setting(64, "matrices of more groups get no intervals and p-values", (0, 1_000_000))
    margin: float | None = setting(
        None, "drift that matters: each pair is said to be a shift, no shift or undecided; null: no verdicts", (0, 1e6)
    )
    adjust: Adjust = setting(
        Adjust.bh, "bh | by | max: what q controls over a matrix; by: under any dependence, max: any false shift at all"
    )

    def __post_init__(self) -> None:
        """See ``SketchSettings``."""
        SketchSettings.__post_init__(self)
        if self.margin is not None and not self.replicates:
            raise UserError(f"margin={self.margin}: a verdict needs intervals and p-values; give replicates above 0")


__getattr__ = lazily(__name__, ShiftSettings="analysis.shift.settings:ShiftSettings")  # documented to be here
