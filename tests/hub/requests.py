"""What came in, and what went out for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Request:
    """One request; names of headers are in lower case. ``status`` is 0 and ``sent`` less where the answer broke off."""

    method: str
    path: str
    headers: dict[str, str]
    origin: str  # hub | cdn
    status: int = 0
    sent: int = 0

    @property
    def kind(self) -> str:
        """``api``, ``resolve``, ``cache`` (small files, where a resolve leads), ``cdn`` or ``page``."""
        if self.origin == "cdn":
            return "cdn"
        if self.path.startswith("/api/resolve-cache/"):
            return "cache"
        if self.path.startswith("/api/"):
            return "api"
        return "resolve" if "/resolve/" in self.path else "page"


def counts_of(requests: Iterable[Request]) -> dict[str, int]:
    """Requests by kind, ``429`` among them, and bytes of bodies: ``api``, ``bytes_api``, …, ``bytes``."""
    found: Counter[str] = Counter()
    for each in requests:
        found[each.kind] += 1
        found[f"bytes_{each.kind}"] += each.sent
        found["bytes"] += each.sent
        found["429"] += each.status == 429
    return {name: found[name] for name in sorted(found)} | {"429": found["429"]}
