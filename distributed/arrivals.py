"""A source that is listed by a thread, so that what it has listed already can be worked on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Self

from distributed.hub.waits import end_waits
from distributed.sources.contents import Listing


class Arrivals:
    """The parts of a listing, as they come. As a context it lists from its beginning, and at its end lets go.

    The thread is nobody's to wait for: it may hang in a request to a server that is down, and ends with the process.
    After an error or an interrupt nothing waits for the Hub any more.

    Args:
        parts: ``sources.stream_source(…)``; used by the thread alone.

    Attributes:
        not_read: of the files beside the models taken so far, how many of each kind are not read.
        error: what ended the listing before its end, once it has; what was listed before stands.
    """

    def __init__(self, parts: Iterator[Listing]) -> None:
        self._parts = parts
        self._news = threading.Condition()
        self._arrived: list[Listing] = []
        self._has_ended = self._is_left = False
        self.not_read: Counter[str] = Counter()
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._list, name="listing", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left = True
        if kind is not None:
            end_waits()

    def _list(self) -> None:
        try:
            for part in self._parts:
                with self._news:
                    self._arrived.append(part)
                    self._news.notify_all()
                if self._is_left:
                    return
        except Exception as error:  # noqa: BLE001 - handed over: whoever works on the parts ends with it
            self.error = error
        finally:
            if isinstance(self._parts, Generator):
                self._parts.close()
            with self._news:
                self._has_ended = True
                self._news.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether nothing comes after what ``take`` gives now."""
        return self._has_ended

    def wait(self, seconds: float) -> None:
        """Until something has come, or the listing has ended; at most ``seconds``."""
        with self._news:
            self._news.wait_for(lambda: self._arrived or self._has_ended, seconds)

    def take(self) -> list[Listing]:
        """The parts that have come since the last time."""
        with self._news:
            parts, self._arrived = self._arrived, []
        for part in parts:
            self.not_read += part.not_read
        return parts
