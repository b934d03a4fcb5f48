"""Faults of a Hub, and what each may cost."""

from __future__ import annotations

from typing import Any

from tests.hub import Fault, FaultKind

ALWAYS = 10**6


def fault(kind: FaultKind, pattern: str = "cdn GET", times: int = 1, **more: Any) -> list[Fault]:
    """One fault, by default of the first request to the CDN."""
    return [Fault(kind, pattern, times, **more)]


API, RESOLVE = "hub GET /api/models/", "hub GET .*/resolve/"
CONFIG, INDEX = "hub GET .*plain.*config.json", "hub GET .*index.json"
EVERYWHERE = "hub GET /api/models/|hub GET .*/resolve/|cdn GET"

#: Name → faults, and how many requests and bytes more than undisturbed they may cost; all models come in the same run.
ONCE: dict[str, tuple[list[Fault], int, int]] = {
    "500, a fifth": (fault(FaultKind.INTERNAL, EVERYWHERE, ALWAYS, every=5), 15, 0),
    "520, a fifth": (fault(FaultKind.UNKNOWN, EVERYWHERE, ALWAYS, every=5), 15, 0),
    "429 and Retry-After": (fault(FaultKind.TOO_MANY, API) + fault(FaultKind.TOO_MANY, RESOLVE), 2, 0),
    "429 without headers": (fault(FaultKind.TOO_MANY_BARE, API) + fault(FaultKind.TOO_MANY_BARE, RESOLVE), 2, 0),
    "429 and RateLimit": (fault(FaultKind.TOO_MANY, RESOLVE, headers={"RateLimit": '"resolvers";r=0;t=0'}), 1, 0),
    "reset by the API": (fault(FaultKind.RESET, API), 1, 0),
    "reset by the CDN": (fault(FaultKind.RESET), 1, 0),
    "cut after 4 KB": (fault(FaultKind.CUT_AT, size=4096), 1, 0),
    "cut in the middle, often": (fault(FaultKind.CUT_BODY, times=ALWAYS, every=2), 20, 0),
    "short body": (fault(FaultKind.SHORT_BODY), 1, 0),
    "shifted body that says so": (fault(FaultKind.WRONG_OFFSET), 1, 400_000),
    "lying Content-Range": (fault(FaultKind.LYING_RANGE), 1, 400_000),
    "another size": (fault(FaultKind.WRONG_SIZE), 1, 400_000),
    "Range ignored once": (fault(FaultKind.IGNORED_RANGE), 1, 400_000),
    "whole files by 200": (fault(FaultKind.WHOLE_BY_200, "GET", ALWAYS), 0, 0),
    "403 by the CDN": (fault(FaultKind.FORBIDDEN), 2, 0),
    "404 by the CDN": (fault(FaultKind.NOT_FOUND), 2, 0),
    "401 by the CDN": (fault(FaultKind.UNAUTHORISED), 2, 0),
    "403 by the Hub, unnamed": (fault(FaultKind.FORBIDDEN, RESOLVE), 1, 0),
    "404 by the Hub, unnamed": (fault(FaultKind.NOT_FOUND, RESOLVE), 1, 0),
    "401 by the Hub, unnamed": (fault(FaultKind.UNAUTHORISED, RESOLVE), 1, 0),
    "401 by the API, unnamed": (fault(FaultKind.UNAUTHORISED, API), 1, 0),
    "silence of the API": (fault(FaultKind.SILENCE, API), 1, 0),
    "silence of the CDN": (fault(FaultKind.SILENCE), 1, 0),
    "stall after 4 KB": (fault(FaultKind.STALL, size=4096), 1, 0),
    "trickle": (fault(FaultKind.TRICKLE, rate=20_000), 2, 300_000),
    "500 for config.json once": (fault(FaultKind.INTERNAL, CONFIG), 1, 0),
    "404 for config.json once": (fault(FaultKind.NOT_FOUND, CONFIG), 1, 0),
    "500 for index.json once": (fault(FaultKind.INTERNAL, INDEX), 1, 0),
}

#: Faults that last: the models they meet fail for now, or come all the same.
LASTING: dict[str, list[Fault]] = {
    "500 by the CDN": fault(FaultKind.INTERNAL, times=ALWAYS),
    "resets by the CDN": fault(FaultKind.RESET, times=ALWAYS),
    "cut after 4 KB": fault(FaultKind.CUT_AT, times=ALWAYS, size=4096),
    "short bodies": fault(FaultKind.SHORT_BODY, times=ALWAYS),
    "shifted bodies that say so": fault(FaultKind.WRONG_OFFSET, times=ALWAYS),
    "lying Content-Range": fault(FaultKind.LYING_RANGE, times=ALWAYS),
    "another size": fault(FaultKind.WRONG_SIZE, times=ALWAYS),
    "Range ignored": fault(FaultKind.IGNORED_RANGE, times=ALWAYS),
    "403 by the CDN": fault(FaultKind.FORBIDDEN, times=ALWAYS),
    "404 by the Hub, unnamed": fault(FaultKind.NOT_FOUND, RESOLVE, times=ALWAYS),
    "401 by the Hub, unnamed": fault(FaultKind.UNAUTHORISED, RESOLVE, times=ALWAYS),
    "429 and an hour": fault(FaultKind.TOO_MANY, RESOLVE, times=ALWAYS, headers={"Retry-After": "3600"}),
    "500 for config.json": fault(FaultKind.INTERNAL, CONFIG, times=ALWAYS),
    "401 for config.json": fault(FaultKind.UNAUTHORISED, CONFIG, times=ALWAYS),
    "500 for index.json": fault(FaultKind.INTERNAL, INDEX, times=ALWAYS),
    "500 for one repository": fault(FaultKind.INTERNAL, API + "lab/plain", times=ALWAYS),
    "520 for one repository": fault(FaultKind.UNKNOWN, API + "lab/plain", times=ALWAYS),
    "429 for one repository": fault(FaultKind.TOO_MANY, API + "lab/plain", ALWAYS, headers={"Retry-After": "9000"}),
}
