"""The settings of ``python -m analysis.labels``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import ViewSettings
from distributed.errors import UserError
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsSettings(ViewSettings):
    """Everything ``python -m analysis.labels`` needs."""

    out: str = setting("labels", "folder of the results; files of an earlier run in it are replaced")
    template: str | None = setting(None, "a new CSV file of what is known, a row per model, to be edited")
    save: bool = setting(False, "write the labels into the store, so that everyone has them")

    def __post_init__(self) -> None:
        """Raises UserError where a value makes no sense, known before anything is read."""
        if self.save and self.labels is None:
            raise UserError("save=true writes labels into the store: give them by labels=FILE")
        if self.template is not None and not self.template.endswith(".csv"):
            raise UserError(f"template={self.template}: give a file that ends with .csv")
