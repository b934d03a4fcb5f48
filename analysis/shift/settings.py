"""The settings of ``python -m analysis.shift``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import MatrixSettings, Order
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftSettings(MatrixSettings):
    """Everything ``python -m analysis.shift`` needs."""

    out: str = setting("shift", "folder of the results; files of an earlier run in it are replaced")
    order: Order = setting(
        Order.name, "name | mean_drift: of the groups; mean_drift as in the paper's figures, depths stay by depth"
    )
    device: str = setting("auto", "auto (CUDA where Ray has a GPU to give) | cpu | cuda: where the scan's kernels run")
