"""Pauses that have an end, are told, and can be broken off."""

from __future__ import annotations

import random
import threading

from distributed.errors import RetryableError
from distributed.hub import budget
from distributed.hub.budget import RequestKind
from distributed.hub.settings import HubAccess

#: Shorter pauses, in seconds, are not worth a word.
TOLD_SECONDS = 3.0

_bell = threading.Condition()
_rung = 0


def end_waits() -> None:
    """Wake every thread that waits for the Hub: what it wanted fails as retryable. For a run that is interrupted."""
    global _rung
    with _bell:
        _rung += 1
        _bell.notify_all()


class Patience:
    """The waits of one request, together at most ``access.max_wait`` seconds."""

    def __init__(self, what: str, access: HubAccess) -> None:
        self._what, self._left, self._most = what, access.max_wait, access.max_wait

    def for_budget(self, kind: RequestKind) -> None:
        """Wait until one request of this kind may be sent; it counts as sent.

        Raises:
            RetryableError: it takes longer than is left, or ``end_waits``.
        """
        while (seconds := budget.current().reserve(kind, self._what)) > 0:
            self._sleep(seconds, "the budget of requests is used up")

    def pause(self, seconds: float, reason: str) -> None:
        """Wait ``seconds``; raises as ``for_budget``, with the ``reason`` for which one waits."""
        if TOLD_SECONDS <= seconds <= self._left:
            budget.current().sleeps(self._what, seconds)
        self._sleep(seconds, reason)

    def _sleep(self, seconds: float, reason: str) -> None:
        if seconds > self._left:
            raise RetryableError(
                f"{self._what}: {reason}; the next try would be in {seconds:.0f} s, "
                f"{self._left:.0f} s are left of hub.max_wait={self._most:.0f}: run it again later, or raise it"
            )
        self._left -= seconds
        with _bell:
            before = _rung
            if _bell.wait_for(lambda: _rung != before, seconds + random.uniform(0, 0.02)):
                raise RetryableError(f"{self._what}: broken off while waiting: {reason}")
