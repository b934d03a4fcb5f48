"""The settings of ``python -m analysis.compare``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import DriftSettings
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings(DriftSettings):
    """Everything ``python -m analysis.compare`` needs."""

    model: str = setting(..., "a checkpoint file or folder, timm:NAME, hub:ID or sample:NAME")
    out: str = setting("compare", "folder of the results; files of an earlier run in it are replaced")
    prefer_ema: bool = setting(False, "take the EMA copy of a checkpoint that holds both")
    include_transposed: bool = setting(False, "compare transposed convolutions as well")
    quantised: bool = setting(False, "compare convolutions of integers as well, as the floats that these stand for")
