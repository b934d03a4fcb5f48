"""How many requests the Hub still allows: one budget for all who ask with the same token, kept before it is overdrawn.

The Hub counts in fixed windows, apart for its API and for addresses of files, and says in each answer how much is left
(``RateLimit``: r requests, t seconds) and what the whole is (``RateLimit-Policy``: q a window of w seconds).
"""

from __future__ import annotations

import pickle
import threading
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Protocol

from distributed.hub.settings import HubAccess

#: Seconds of the Hub's window, and what it allows in it without and with a token (its page "rate-limits").
WINDOW_SECONDS = 300.0
ANONYMOUS = {"api": 500, "resolve": 3000}
WITH_TOKEN = {"api": 1000, "resolve": 5000}

#: Requests under way before the first answer tells what is left: the rest of a window that others used may be small.
UNTOLD = 2

#: ``t`` is whole seconds, rounded either way: a window is over so much later.
ROUNDING_SECONDS = 1.0

#: Seconds after which a request without an answer is taken for lost with its process.
LOST_SECONDS = 300.0

#: Seconds until one asks again who waits for the answers of others.
SHORT_WAIT = 0.05


class RequestKind(StrEnum):
    """What the Hub counts apart. The CDN, which serves the content, is not counted."""

    api = "api"
    resolve = "resolve"


class RateLimit(NamedTuple):
    """What an answer says: requests left in this window, seconds until it ends; its whole and length, where told."""

    remaining: int
    reset: float
    limit: int | None = None
    window: float | None = None


class Budget(Protocol):
    """What ``hub.client`` asks before each request, and tells after it."""

    def reserve(self, kind: RequestKind, what: str) -> float:
        """0: one request may be sent now, and counts; else seconds after which to ask again. ``what``: for whom."""

    def answered(self, kind: RequestKind, what: str, told: RateLimit | None) -> None:
        """A request of ``what`` has ended; ``told`` None: nothing is known (a lost connection, a mirror)."""

    def refused(self, kind: RequestKind, what: str, seconds: float) -> None:
        """One request was answered 429: nobody sends for so many seconds, a window at most."""

    def sleeps(self, what: str, seconds: float) -> None:
        """``what`` waits for so long, for another reason than the budget; only for ``waiting``."""

    def waiting(self) -> str:
        """What waits for what, how long, in one line; "" where nothing does."""

    def asked(self, kind: RequestKind) -> int:
        """Requests that were sent so far."""

    def least_seconds(self, kind: RequestKind, requests: int) -> float:
        """How long so many further requests take at least, if nobody else asks for anything."""


@dataclass
class _Window:
    """The Hub's current window of one kind; times are monotonic seconds."""

    limit: int
    left: int
    cap: int  # the user's own, 0: none
    length: float = WINDOW_SECONDS
    granted: int = 0
    asked: int = 0  # of all windows together
    ends: float | None = None  # None: begun, no answer has told yet when it ends
    is_told: bool = False
    closed_until: float = 0.0
    under_way: list[tuple[str, float]] = field(default_factory=list)

    def reserve(self, what: str, now: float) -> float:
        """Seconds until a request may be sent; 0: now, and it is counted as under way."""
        self._turn(now)
        wait = self._wait(now)
        if wait <= 0:
            self.under_way.append((what, now))
            self.granted += 1
            self.asked += 1
        return max(wait, 0.0)

    def answered(self, what: str, now: float, told: RateLimit | None) -> None:
        """One request has ended."""
        self._turn(now)
        self._ended(what)
        self.is_told = True
        if told is None:  # it may have been counted
            self.left -= 1
            self.ends = now + self.length if self.ends is None else self.ends
            return
        self.limit, self.length = told.limit or self.limit, told.window or self.length
        ends = now + told.reset
        if self.ends is None:
            self.left, self.ends = told.remaining, ends
        elif ends > self.ends + max(self.length / 2, ROUNDING_SECONDS):  # another window, which began unseen
            self.left, self.ends, self.granted = told.remaining, ends, len(self.under_way)
        else:  # answers come in any order: the least that is left counts
            self.left, self.ends = min(self.left, told.remaining), min(self.ends, ends)

    def refused(self, what: str, now: float, seconds: float) -> None:
        """One request was answered 429."""
        self._turn(now)
        self._ended(what)
        # No longer than a window: one odd answer must not end the work of all.
        self.closed_until = max(self.closed_until, now + min(seconds, self.length + ROUNDING_SECONDS))

    def least_seconds(self, requests: int, now: float) -> float:
        """How long so many further requests take at least."""
        self._turn(now)
        allowed = min(self.limit, self.cap or self.limit)
        left = max(min(self.left, allowed - self.granted), 0)
        windows = -(-max(requests - left, 0) // allowed)  # begun after this one
        if not windows:
            return 0.0
        return (self.length if self.ends is None else max(self.ends - now, 0.0)) + (windows - 1) * self.length

    def _turn(self, now: float) -> None:
        self.under_way = [each for each in self.under_way if now - each[1] < LOST_SECONDS]
        if self.ends is not None and now >= self.ends + ROUNDING_SECONDS:
            self.left, self.granted, self.ends = self.limit, 0, None

    def _wait(self, now: float) -> float:
        if now < self.closed_until:
            return self.closed_until - now
        if not self.is_told:
            return 0.0 if len(self.under_way) < UNTOLD else SHORT_WAIT
        if self.left > len(self.under_way) and not (self.cap and self.granted >= self.cap):
            return 0.0
        # All of a new window under way: an answer will tell when it ends.
        return SHORT_WAIT if self.ends is None else self.ends + ROUNDING_SECONDS - now

    def _ended(self, what: str) -> None:
        mine = next((each for each in self.under_way if each[0] == what), None)
        if mine is not None:
            self.under_way.remove(mine)

    def shifted(self, seconds: float) -> _Window:
        """The same with all times moved."""
        return replace(
            self,
            ends=None if self.ends is None else self.ends + seconds,
            closed_until=self.closed_until + seconds,
            under_way=[(what, sent + seconds) for what, sent in self.under_way],
        )


class RequestBudget:
    """``Budget`` of one process, for all its threads; of a cluster, where it is the one that all ask.

    Args:
        has_token: whether requests carry a token: what is allowed before an answer tells.
        access: the user's own limits.
    """

    def __init__(self, has_token: bool, access: HubAccess = HubAccess()) -> None:
        limits, caps = WITH_TOKEN if has_token else ANONYMOUS, (access.api_budget, access.resolve_budget)
        self._windows = {
            kind: _Window(limits[kind], limits[kind], cap) for kind, cap in zip(RequestKind, caps, strict=True)
        }
        self._waits: dict[str, tuple[float, str]] = {}
        self._has_moved = False
        self._lock = threading.Lock()

    def reserve(self, kind: RequestKind, what: str) -> float:
        """See ``Budget``."""
        with self._lock:
            if self._has_moved:
                return SHORT_WAIT
            now, window = time.monotonic(), self._windows[kind]
            wait = window.reserve(what, now)
            self._waits.pop(what, None)
            if wait > SHORT_WAIT:
                allowed = window.cap or window.limit
                self._waits[what] = (
                    now + wait,
                    f"the Hub's budget ({allowed} {kind} requests in {window.length:.0f} s)",
                )
            return wait

    def answered(self, kind: RequestKind, what: str, told: RateLimit | None) -> None:
        """See ``Budget``."""
        with self._lock:
            self._windows[kind].answered(what, time.monotonic(), told)

    def refused(self, kind: RequestKind, what: str, seconds: float) -> None:
        """See ``Budget``."""
        with self._lock:
            self._windows[kind].refused(what, time.monotonic(), seconds)

    def sleeps(self, what: str, seconds: float) -> None:
        """See ``Budget``."""
        with self._lock:
            self._waits[what] = (time.monotonic() + seconds, "a server that asked for a pause, or failed")

    def waiting(self) -> str:
        """See ``Budget``."""
        with self._lock:
            now = time.monotonic()
            self._waits = {what: each for what, each in self._waits.items() if each[0] > now}
            if not self._waits:
                return ""
            what, (until, reason) = max(self._waits.items(), key=lambda each: each[1][0])
            more = f" and {len(self._waits) - 1} more" if len(self._waits) > 1 else ""
            return f"{what}{more} wait{'' if more else 's'} {until - now:.0f} s for {reason}"

    def asked(self, kind: RequestKind) -> int:
        """See ``Budget``."""
        with self._lock:
            return self._windows[kind].asked

    def least_seconds(self, kind: RequestKind, requests: int) -> float:
        """See ``Budget``."""
        with self._lock:
            return self._windows[kind].least_seconds(requests, time.monotonic())

    def moved(self) -> RequestBudget:
        """A copy that goes on elsewhere; this one grants nothing any more."""
        with self._lock:
            copy: RequestBudget = pickle.loads(pickle.dumps(self))
            self._has_moved = True
            return copy

    def __getstate__(self) -> dict[RequestKind, _Window]:
        """Times as seconds from now: another machine has another clock."""
        return {kind: each.shifted(-time.monotonic()) for kind, each in self._windows.items()}

    def __setstate__(self, state: dict[RequestKind, _Window]) -> None:
        self._windows = {kind: each.shifted(time.monotonic()) for kind, each in state.items()}
        self._waits, self._has_moved, self._lock = {}, False, threading.Lock()


_current: Budget | None = None
_access = HubAccess()
_choosing = threading.Lock()


def current() -> Budget:
    """The budget of this process: the one given to ``use``, else one of its own."""
    global _current
    with _choosing:
        if _current is None:
            from huggingface_hub import constants, get_token

            has_token = not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and get_token() is not None
            _current = RequestBudget(has_token, _access)
        return _current


def use(budget: Budget | None, access: HubAccess = _access) -> None:
    """Make ``budget`` the one of this process; None: one of its own within ``access``, made when it is needed."""
    global _current, _access
    with _choosing:
        _current, _access = budget, access
