"""The Hub through ``huggingface_hub``'s own session, headers and retries, and its errors in this project's terms.

``huggingface_hub`` reads HF_ENDPOINT, HF_HUB_OFFLINE and HF_HOME once, at import: a process must have them in its
environment before this module is imported (``distributed.environment``).
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import constants, errors
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked as exported
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    http_backoff,
)

from distributed import __version__
from distributed.errors import (
    FilterShiftError,
    PermanentError,
    Place,
    RetryableError,
    SkipReason,
    SourceError,
    UnextractableError,
)
from distributed.local_files import error_from_disk

#: Base of every error of the client's HTTP library, by the name under which the client itself derives from it: the
#: library is httpx, or httpx2 since huggingface_hub 2.
HTTP_ERROR: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]

#: Seconds in which a reachable Hub answers a first request.
PROBE_SECONDS = 5.0

#: How often the client repeats a request after 408, 429, 5xx, a timeout or a lost connection; after
#: ``FIRST_WAIT_SECONDS``, twice as many, …, or as long as the server says.
RETRIES = 4
FIRST_WAIT_SECONDS = 1.0

_RETRYABLE_STATUS = frozenset({408, 425, 429})


def request_headers(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The client's headers, with the user's token where there is one."""
    return build_hf_headers(
        library_name="cnn-filter-shift", library_version=__version__, headers=dict(extra) if extra else None
    )


def require_hub() -> None:
    """Make one short request, so that a missing network is said at once and not after the client's retries.

    Raises:
        SourceError: offline mode is on, or nothing answers at the endpoint within ``PROBE_SECONDS``.
    """
    endpoint = constants.ENDPOINT
    if constants.is_offline_mode():
        raise SourceError("HF_HUB_OFFLINE is set: unset it to list models of the Hub, or use source=local")
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def probe() -> None:
        try:
            get_session().head(f"{endpoint}/api/models", timeout=PROBE_SECONDS, follow_redirects=False)
            answers.put(None)
        except Exception as error:  # noqa: BLE001 - handed over and raised below
            answers.put(error)

    # In a thread: no timeout of the client bounds the resolution of a name.
    threading.Thread(target=probe, daemon=True, name="hub-probe").start()
    try:
        error = answers.get(timeout=PROBE_SECONDS + 1)
    except queue.Empty:
        error = TimeoutError(f"no answer in {PROBE_SECONDS:.0f} s")
    if error is not None:
        raise SourceError(
            f"cannot reach the Hub at {endpoint} ({one_line(error)}): check the network and HF_ENDPOINT, "
            "or use source=local or source=sample"
        ) from error


def get_json(url: str, params: Mapping[str, Any] | None = None) -> Any:
    """The JSON answer of one request to the Hub's API, with the client's retries.

    Raises:
        HfHubHTTPError: the Hub refused (gated, not found, …).
        HTTP_ERROR: the network failed, more often than ``RETRIES``.
        ValueError: the answer is not JSON.
    """
    return _get(url, params).json()


def check_access(url: str) -> None:
    """Make a request of which only success or refusal matters. Errors as ``get_json``."""
    _get(url, None)


def get_pages(url: str, params: Mapping[str, Any]) -> Iterator[Any]:
    """The items of a paginated listing, in the server's order; a page is fetched when it is needed. Errors as above."""
    following: str | None = url
    rest: Mapping[str, Any] | None = params
    while following is not None:
        response = _get(following, rest)
        following, rest = response.links.get("next", {}).get("url"), None  # the link holds the parameters
        yield from response.json()


def _get(url: str, params: Mapping[str, Any] | None) -> Any:
    # ``HfApi``'s own calls have no timeout by default, and ``model_info`` no retries: a listing of a thousand
    # repositories meets both.
    options: dict[str, Any] = {} if params is None else {"params": dict(params)}
    response = http_backoff(
        "GET",
        url,
        headers=request_headers(),
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        max_retries=RETRIES,
        base_wait_time=FIRST_WAIT_SECONDS,
        **options,
    )
    hf_raise_for_status(response)
    return response


def one_line(error: BaseException, limit: int = 160) -> str:
    """The first line of an error's text that says something, shortened; its type where it has no text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def error_from_hub(error: Exception, what: str, file: str, folder: Path) -> FilterShiftError:
    """Our error for one that ``huggingface_hub`` raised.

    Args:
        error: what was raised.
        what: ``repository@revision/file``, for the message.
        file: path within the repository.
        folder: where the download was written.
    """
    # hf_hub_download hides the real reason behind "not in the cache".
    while isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    place = Place(file=file)
    if isinstance(error, OfflineModeIsEnabled):
        return RetryableError(f"{what}: HF_HUB_OFFLINE is set and the file is not in the cache: unset it")
    refusal = refusal_of(error)
    if refusal is not None:
        return UnextractableError(refusal[0], f"{what}: {refusal[1]}", place)
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        text = f"{what}: the Hub answered {status} ({one_line(error)})"
        return RetryableError(text) if _may_pass(status) else PermanentError(text)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM):
        return error_from_disk(error, folder, what)
    return RetryableError(f"{what}: {one_line(error)}")


def refusal_of(error: Exception) -> tuple[SkipReason, str] | None:
    """Why a repository or file cannot be had, for good; None where the error says nothing of the kind."""
    if isinstance(error, GatedRepoError):
        return SkipReason.GATED, "gated: ask for access on its page and set HF_TOKEN"
    if isinstance(error, DisabledRepoError):
        return SkipReason.NOT_FOUND, "disabled by its author"
    if isinstance(error, RevisionNotFoundError):
        return SkipReason.NOT_FOUND, "no such revision: check what follows the @"
    if isinstance(error, RepositoryNotFoundError):
        return SkipReason.NOT_FOUND, "no such repository, or a private one: check the name, or set HF_TOKEN"
    if isinstance(error, EntryNotFoundError):
        return SkipReason.NOT_FOUND, "no such file in this revision"
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code in (401, 403):
            return SkipReason.GATED, "access denied: set an HF_TOKEN that may read it"
        if error.response.status_code in (404, 410):
            return SkipReason.NOT_FOUND, "not found on the Hub"
    return None


def _may_pass(status: int) -> bool:
    return status in _RETRYABLE_STATUS or status >= 500
