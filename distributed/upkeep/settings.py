"""The settings of the actions on a store."""

from __future__ import annotations

from dataclasses import dataclass

from distributed.setting import check_bounds, setting
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Look:
    """Which store: as ``StoreSettings``."""

    uri: str = setting(..., "a folder or s3://bucket/prefix")
    endpoint_url: str | None = setting(None, "of an S3-compatible service; null: AWS_ENDPOINT_URL or AWS")
    region: str | None = setting(None, "null: AWS_REGION or the bucket's own")

    @property
    def store(self) -> StoreSettings:
        """Where it is."""
        return StoreSettings(self.uri, self.endpoint_url, self.region)


@dataclass(frozen=True, slots=True)
class Verify(Look):
    """Of ``verify``."""

    dry_run: bool = setting(False, "say what would be read, read nothing of it")


@dataclass(frozen=True, slots=True)
class CollectGarbage(Look):
    """Of ``gc``."""

    dry_run: bool = setting(False, "name what would be removed, remove nothing")
    older_than: float = setting(24.0, "hours since a leftover was written: younger ones may be in use", (0, 1e6))

    def __post_init__(self) -> None:
        """Raises UserError where a number makes no sense."""
        check_bounds(self)


@dataclass(frozen=True, slots=True)
class Compact(Look):
    """Of ``compact``."""

    dry_run: bool = setting(False, "say what would be merged and removed, change nothing")
    grace: float = setting(1.0, "hours for which files that were merged stay, for whoever is reading them", (0, 1e6))

    def __post_init__(self) -> None:
        """Raises UserError where a number makes no sense."""
        check_bounds(self)
