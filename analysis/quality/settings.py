"""The settings of ``python -m analysis.quality``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import GroupSettings, LayerWeight
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings(GroupSettings):
    """Everything ``python -m analysis.quality`` needs."""

    axes: tuple[str, ...] = setting(("task", "visual_category"), "columns of models and layers; depth (deciles), layer")
    out: str = setting("quality", "folder of the results; files of an earlier run in it are replaced")
    max_groups: int = setting(20_000, "an axis with more groups is refused", (1, 1_000_000))
    standing: tuple[str, ...] = setting(("depth", "model"), "axes that are summarised beside those asked for")
    weight: LayerWeight = setting(
        LayerWeight.layers,
        "layers | filters | models: what counts as one observation; measured: what a metric is of (output channels …)",
    )
