"""The settings of ``python -m analysis.structure``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import WHICH_BASELINE, WHICH_FILTERS, Baseline, Filters, GroupSettings
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSettings(GroupSettings):
    """Everything ``python -m analysis.structure`` needs."""

    out: str = setting("structure", "folder of the results; files of an earlier run in it are replaced")
    filters: Filters = setting(Filters.all, WHICH_FILTERS)
    baseline: tuple[Baseline, ...] = setting((), WHICH_BASELINE)
    subspace: int = setting(
        3, "leading components whose span is compared between groups (all nine span the same)", (1, 8)
    )
