"""The settings of ``python -m analysis.coefficients``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import WHICH_BASELINE, Baseline, SketchSettings, Weight
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CoefficientsSettings(SketchSettings):
    """Everything ``python -m analysis.coefficients`` needs."""

    out: str = setting("coefficients", "folder of the results; files of an earlier run in it are replaced")
    max_groups: int = setting(500, "an axis with more groups is refused", (1, 1_000_000))
    weight: Weight = setting(Weight.filters, "filters | layers | models: what counts the same in the ridges")
    baseline: tuple[Baseline, ...] = setting((), WHICH_BASELINE)
    pairs: tuple[list[int], ...] = setting(
        (), "components whose 2-D densities are wanted: [[1,2],[3,4]]; []: none, and no pass over the filters"
    )
    layers: str | None = setting(
        None, "SQL condition: densities of each of these layers instead of groups: layers=\"name = 'resnet20'\""
    )
    density_bins: int = setting(96, "along each axis of a density; a multiple of 24", (24, 2400))
