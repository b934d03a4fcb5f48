"""The settings that commands share: frozen, typed, made once at the entry point. What each means stands beside it.

A command's own settings extend one of these in ``analysis/<command>/settings.py``:

* ``ViewSettings``: a store, and what the user knows about its models;
* ``GroupSettings``: layers by group;
* ``SketchSettings``: and the histograms of their filters;
* ``DriftSettings``: and drifts between them, with how sure they are;
* ``MatrixSettings``: and those of every two groups.
"""

from __future__ import annotations

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
    max_groups: int = setting(2000, "an axis with more groups is refused: its matrix has their square", (1, 1_000_000))

    def __post_init__(self) -> None:
        """Raises UserError where a value makes no sense, known before anything is read."""
        check_bounds(self)
        axes: Any = self.axes
        if isinstance(axes, str) or not all(isinstance(axis, str) for axis in axes):
            raise UserError(f"axes={axes!r}: give a list of names, as in 'axes=[task,depth]'")


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchSettings(GroupSettings):
    """Of commands on the histograms of filters. No Ray of ``cluster`` is started where no scan needs one."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    basis: str | None = setting(
        None, "a basis.json to project on, to compare stores; null: the basis of all filters of the store"
    )
    bins: int = setting(DEFAULT_BINS, "of the histograms; with basis, that basis's own", (2, 10_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings(SketchSettings):
    """Of commands that measure drift."""

    divergence: str = setting("kl", "kl (symmetric, the paper's) | js | wasserstein | tv")
    weight: Weight = setting(Weight.filters, "what counts the same: filters (the paper) | layers | models")
    replicates: int = setting(
        1000,
        "bootstrap replicates and permutations, models being what is resampled; 0: no intervals and p-values",
        (0, 1_000_000),
    )
    level: float = setting(0.95, "coverage of the intervals", (0.001, 0.9999))
    seed: int = setting(0, "of the resampling", (0, 2**63 - 1))
    min_models: int = setting(3, "cells with a group of fewer models are flagged", (0, 1_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSettings(DriftSettings):
    """Of commands that measure the drift of every two groups."""

    max_tested_groups: int = setting(64, "matrices of more groups get no intervals and p-values", (0, 1_000_000))


__getattr__ = lazily(__name__, ShiftSettings="analysis.shift.settings:ShiftSettings")  # documented to be here
