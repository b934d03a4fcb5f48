"""The settings of ``python -m analysis.replicate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.settings import ViewSettings
from distributed.setting import setting
from distributed.settings import ClusterSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateSettings(ViewSettings):
    """Everything ``python -m analysis.replicate`` needs; how to compute is the paper's preset (``conf/preset/``)."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    paper: str = setting(
        ..., "2201.08465 | 2203.15331 (CNN Filter DB) | 2204.02481 (robustness) | 2210.13799 (medical)"
    )
    out: str = setting("replicate", "folder of the page and of a folder a figure; files of an earlier run are replaced")
    where: str | None = setting(None, "SQL condition on models and layers: of these only")
    pairs: str | None = setting(
        None,
        "of 2204.02481: CSV with columns Robust, Normal, Dataset of model names, as its authors publish it: "
        "a normal model counts once a pair",
    )
