"""The settings of ``python -m analysis.export``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum

from analysis.settings import DEFAULT_BINS
from distributed.errors import UserError
from distributed.setting import check_bounds, setting
from distributed.settings import ClusterSettings
from distributed.store import StoreSettings


class Format(StrEnum):
    """What is written. Lower case, because OmegaConf matches overrides by member name.

    ``store``: a store, as every command reads it. ``cnn_filter_db``: one HDF5 file, the published layout.
    ``huggingface``: a folder that is a data set of the Hub. ``csv``, ``arrow``: a file for each table.
    """

    store = "store"
    cnn_filter_db = "cnn_filter_db"
    huggingface = "huggingface"
    csv = "csv"
    arrow = "arrow"


class Level(StrEnum):
    """How much. ``filters``: everything. ``sketch``: no filters, but what all else is computed from. ``tables``: what
    is known of models and layers.
    """

    filters = "filters"
    sketch = "sketch"
    tables = "tables"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """Everything ``python -m analysis.export`` needs."""

    store: StoreSettings
    _: KW_ONLY
    out: str = setting(..., "folder, or for cnn_filter_db the file, to be made; an earlier export there is replaced")
    format: Format = setting(
        Format.store, "store | cnn_filter_db (one HDF5 file) | huggingface (a data set's folder) | csv | arrow"
    )
    level: Level = setting(
        Level.filters,
        "filters (all) | sketch (instead of filters their histograms and moments: tens of MB) | tables",
    )
    where: str | None = setting(
        None, "SQL condition on models and layers: models with a layer for which it is true are exported, whole"
    )
    bins: int = setting(DEFAULT_BINS, "of the histograms, for level=sketch", (2, 10_000))
    version: str = setting("1.0.0", "of the data set, for its card: huggingface")
    cluster: ClusterSettings = field(default_factory=ClusterSettings)

    def __post_init__(self) -> None:
        """Raises UserError where values do not go together, known before anything is read."""
        check_bounds(self)
        if not self.out.strip():
            raise UserError("out is empty: name what is to be made")
        if "://" in self.out:
            raise UserError(f"out={self.out}: exports go to this machine; copy them from there")
        if self.format is Format.cnn_filter_db and self.level is not Level.filters:
            raise UserError(f"format=cnn_filter_db is a file of filters: level={self.level} has none; format=store has")
