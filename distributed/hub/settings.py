"""How the Hub is reached: how long one waits for it, how much is asked of it, what is checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from distributed.setting import check_bounds, setting


class Verify(StrEnum):
    """What of a file is read and checked.

    Members are lower case because OmegaConf matches overrides (``hub.verify=whole``) by member name.
    """

    ranges = "ranges"
    whole = "whole"


@dataclass(frozen=True, slots=True)
class HubAccess:
    """The settings ``hub``, for everything that asks the Hub."""

    max_wait: float = setting(
        600.0, "seconds one request waits in all (budget, 429, pauses) before it fails as retryable", (1, 86_400)
    )
    min_rate: int = setting(
        50_000, "bytes per second: a slower answer is broken off and asked for again; 0: none is too slow", (0, 10**9)
    )
    verify: Verify = setting(
        Verify.ranges,
        "ranges: the bytes needed, checked for place and length; whole: whole files, checked against their SHA-256",
    )
    api_budget: int = setting(
        0, "requests to the API per 5 minutes, of all nodes together; 0: as many as the Hub allows", (0, 10**6)
    )
    resolve_budget: int = setting(0, "the same for addresses of files", (0, 10**6))

    def __post_init__(self) -> None:
        """Raises UserError where a number makes no sense."""
        check_bounds(self, "hub.")
