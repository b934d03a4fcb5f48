"""What the Hub said of repositories, kept so that a later listing need not ask again: a commit never changes."""

from __future__ import annotations

from typing import Protocol

from distributed.hub.repository import Repository


class Catalogue(Protocol):
    """Repositories at commits. One thread at a time uses it."""

    def get(self, repo: str, revision: str) -> Repository | None:
        """What is known of ``repo`` at a commit hash; None: nothing."""

    def put(self, repository: Repository) -> None:
        """Keep what the Hub said."""

    def flush(self) -> None:
        """Write what was put since the last time."""


class NoCatalogue:
    """``Catalogue`` that keeps nothing."""

    def get(self, repo: str, revision: str) -> Repository | None:
        """None."""
        return None

    def put(self, repository: Repository) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""
