"""The settings of ``python -m analysis.replicate``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

from distributed.setting import setting
from distributed.settings import ClusterSettings
from distributed.store import StoreSettings


@dataclass(frozen=True, slots=True)
class ReplicateSettings:
    """Everything ``python -m analysis.replicate`` needs; how to compute is the paper's preset (``conf/preset/``)."""

    store: StoreSettings
    _: KW_ONLY
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
