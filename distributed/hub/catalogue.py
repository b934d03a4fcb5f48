"""What the Hub said of repositories, kept so that a later listing need not ask again: a commit never changes."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Protocol

from distributed.errors import RetryableError, StoreError
from distributed.hub.repository import Repository
from distributed.hub.settings import HubAccess
from distributed.store import Store

logger = logging.getLogger(__name__)

#: Repositories kept in memory before they are written: what a listing that is killed has to ask again.
FLUSH_EVERY = 200


class Catalogue(Protocol):
    """Repositories at commits; several threads may use it."""

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


@dataclass(frozen=True, slots=True)
class Asking:
    """How the Hub is asked, and what need not be asked."""

    access: HubAccess
    catalogue: Catalogue


class StoredCatalogue:
    """``Catalogue`` in a store, folder ``repositories/``.

    It only saves requests: where it cannot be read or written a warning says so, and the listing goes on without.

    Args:
        store: where it is.
        writes: whether what is put is written; a dry run writes nothing.
    """

    def __init__(self, store: Store, *, writes: bool = True) -> None:
        self._store, self._writes = store, writes
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], str] | None = None
        self._new: list[tuple[str, str, str]] = []

    def get(self, repo: str, revision: str) -> Repository | None:
        """What is known of ``repo`` at a commit hash; None: nothing."""
        with self._lock:
            text = self._read().get((repo, revision))
        if text is None:
            return None
        try:
            return Repository.from_json(text)
        except ValueError as error:
            logger.warning("%s: %s@%s is asked again (%s)", self._store.uri, repo, revision, error)
            return None

    def put(self, repository: Repository) -> None:
        """Keep what the Hub said; written after ``FLUSH_EVERY`` of them, and by ``flush``."""
        text = repository.to_json()
        with self._lock:
            key = (repository.id, repository.revision)
            if self._read().get(key) == text:
                return
            self._read()[key] = text
            self._new.append((*key, text))
            if len(self._new) >= FLUSH_EVERY:
                self._write()

    def flush(self) -> None:
        """Write what was put since the last time."""
        with self._lock:
            self._write()

    def _read(self) -> dict[tuple[str, str], str]:
        if self._known is None:
            try:
                self._known = self._store.repositories()
            except (RetryableError, StoreError) as error:
                logger.warning("what is known of repositories cannot be read, they are asked again: %s", error)
                self._known = {}
        return self._known

    def _write(self) -> None:
        rows, self._new = self._new, []
        if not rows or not self._writes:
            return
        try:
            self._store.write_repositories(rows)
        except (RetryableError, StoreError) as error:
            logger.warning("what is known of %d repositories is not kept, they are asked again: %s", len(rows), error)
