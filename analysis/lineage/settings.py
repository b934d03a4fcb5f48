"""The settings of ``python -m analysis.lineage``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import ViewSettings
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageSettings(ViewSettings):
    """Everything ``python -m analysis.lineage`` needs."""

    out: str = setting("lineage", "folder of the results; files of an earlier run in it are replaced")
