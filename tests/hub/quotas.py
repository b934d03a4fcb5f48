"""Requests a window, by who asks and what for, as the Hub counts them and says in every answer."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

#: What is counted, and the name that the Hub's headers have for it.
COUNTED = {"api": "api", "resolve": "resolvers"}


@dataclass
class Quotas:
    """Fixed windows that begin with the first request counted.

    Attributes:
        api, resolve: requests a window of those without a token, together.
        window: seconds.
        by_token: (api, resolve) of a token.
    """

    api: int = 500
    resolve: int = 3000
    window: float = 300.0
    by_token: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None
        self._counts: Counter[tuple[int, str, str]] = Counter()

    def count(self, token: str, kind: str) -> tuple[bool, dict[str, str]]:
        """Whether this request is within the quota, and the headers of its answer."""
        api, resolve = self.by_token.get(token, (self.api, self.resolve))
        limit = api if kind == "api" else resolve
        with self._lock:
            now = time.monotonic()
            self._began = now if self._began is None else self._began
            number, within = divmod(now - self._began, self.window)
            key = (int(number), token if token in self.by_token else "", kind)
            self._counts[key] += 1
            used = self._counts[key]
        left = math.ceil(self.window - within)
        name = COUNTED[kind]
        headers = {
            "RateLimit": f'"{name}";r={max(0, limit - used)};t={left}',
            "RateLimit-Policy": f'"fixed window";"{name}";q={limit};w={round(self.window)}',
        }
        return used <= limit, headers
