"""What an answer that is no success means: for good, or for now.

The Hub names what it refuses in a header. Only that, from its own host, is believed for good: a 403, 404 or 401 of a
CDN (an address that expired), of a proxy, or without the Hub's name for it (a token that expired) may pass.
"""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # public, not marked as exported

from distributed.errors import (
    FilterShiftError,
    PermanentError,
    Place,
    RetryableError,
    SkipReason,
    UnextractableError,
    first_line,
)
from distributed.hub.budget import RateLimit
from distributed.hub.hosts import is_endpoint, origin_of, proxy_of

_GATED = (SkipReason.GATED, "gated: ask for access on its page and set HF_TOKEN")
_DISABLED = (SkipReason.NOT_FOUND, "disabled by its author")
_REFUSALS = {
    "GatedRepo": _GATED,
    "RepoNotFound": (
        SkipReason.NOT_FOUND,
        "no such repository, or a private one: check the name, or set HF_TOKEN",
    ),
    "RevisionNotFound": (SkipReason.NOT_FOUND, "no such revision: check what follows the @"),
    "EntryNotFound": (SkipReason.NOT_FOUND, "no such file in this revision"),
}
_DISABLED_MESSAGE = "Access to this resource is disabled."

#: Statuses of the Hub that may pass; 401, 403, 404 and 410 only where it does not name what it refuses.
_PASSING = frozenset({401, 403, 404, 408, 410, 425, 429})

#: Statuses that say nothing of the address that was asked.
_NOT_OF_THE_ADDRESS = frozenset({408, 425, 429})


class AddressRefusedError(RetryableError):
    """Another host than the Hub refuses an address that the Hub gave: it is asked for anew."""


class RangesRefusedError(RetryableError):
    """The ranges are not served (416): more than one of them, or the file has become another."""


def one_line(error: BaseException, limit: int = 160) -> str:
    """The first line of an error's text that says something, shortened; its type where it has no text."""
    text = first_line(error)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def error_of_answer(response: Any, what: str, file: str | None = None) -> FilterShiftError:
    """Our error for an answer of 400 and more; ``what`` was asked for, ``file`` is its path in the repository."""
    url, status, headers = str(response.request.url), response.status_code, response.headers
    said = headers.get("X-Error-Message") or response.reason_phrase
    text = f"{what}: {origin_of(url)} answered {status} ({said})"
    if status >= 500:
        return RetryableError(f"{text}: run it again later")
    if status == 416:
        return RangesRefusedError(text)
    if not is_endpoint(url):
        return RetryableError(text) if status in _NOT_OF_THE_ADDRESS else AddressRefusedError(text)
    refusal = _DISABLED if said == _DISABLED_MESSAGE else _REFUSALS.get(headers.get("X-Error-Code", ""))
    if refusal is not None:
        return UnextractableError(refusal[0], f"{what}: {refusal[1]}", Place(file=file))
    if status == 401:
        return RetryableError(f"{text}: renew HF_TOKEN if it has expired")
    return RetryableError(text) if status in _PASSING else PermanentError(text)


def error_of_network(error: Exception, url: str, what: str) -> RetryableError:
    """Our error for a connection that failed; a proxy in between is named, for it may be the one that fails."""
    if isinstance(error, OfflineModeIsEnabled):
        return RetryableError(f"{what}: HF_HUB_OFFLINE is set and the file is not in the cache: unset it")
    return RetryableError(f"{what}: no answer from {origin_of(url)}{unreachable(url, error)}")


def unreachable(url: str, error: BaseException) -> str:
    """Why ``url`` does not answer: `` through the proxy http://p:1 (Connection refused)``."""
    proxy = proxy_of(url)
    through = f" through the proxy {proxy}: check that it runs, or unset it" if proxy else ""
    return f"{through} ({one_line(error)})"


def told_limit(response: Any) -> RateLimit | None:
    """What an answer says of the Hub's budget."""
    told = parse_ratelimit_headers(response.headers)
    if told is None:
        return None
    return RateLimit(told.remaining, told.reset_in_seconds, told.limit, told.window_seconds)


def asked_pause(response: Any) -> float | None:
    """Seconds after which the server wants to be asked again, if it says so."""
    told, pauses = told_limit(response), []
    if response.status_code == 429 and told is not None and told.remaining == 0:
        pauses.append(told.reset + 1)  # whole seconds, rounded either way
    after = response.headers.get("Retry-After", "").strip()
    if after.isdigit():
        pauses.append(float(after))
    elif after:
        with suppress(ValueError):  # neither of the two forms that the header has: as if it were not there
            pauses.append(max(0.0, parsedate_to_datetime(after).timestamp() - time.time()))
    return max(pauses, default=None)


def offline() -> bool:
    """Whether the user forbids all requests."""
    return bool(constants.is_offline_mode())
