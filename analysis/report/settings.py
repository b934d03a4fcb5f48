"""The settings of ``python -m analysis.report``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import LayerWeight, MatrixSettings
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings(MatrixSettings):
    """Everything ``python -m analysis.report`` needs."""

    out: str = setting("report", "folder of the page and of figures/; files of an earlier run in it are replaced")
    max_groups: int = setting(
        600, "an axis with more groups is named in the page, not drawn: its matrix has their square", (1, 100_000)
    )
    subspace: int = setting(
        3, "leading components whose span is compared between groups (all nine span the same)", (1, 8)
    )
    layer_weight: LayerWeight = setting(
        LayerWeight.layers,
        "layers | filters | models | measured: what counts as one observation in summaries of quality",
    )
    figures: bool = setting(True, "false: the page alone, without PNG and PDF beside it")
