"""One request to the Hub: token only to its endpoint, within the budget, repeated with limits, errors in our terms.

``huggingface_hub`` reads HF_ENDPOINT, HF_HUB_OFFLINE and HF_HOME once, at import: a process must have them in its
environment before this module is imported (``distributed.environment``). Its session and token are used; not its
retries, which wait without a limit and close the session under other threads.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urljoin

from huggingface_hub import __version__ as hf_version
from huggingface_hub import constants, errors, get_token
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # public, but not marked as exported

from distributed import __version__
from distributed.errors import RetryableError, SourceError
from distributed.hub import budget
from distributed.hub.budget import RequestKind
from distributed.hub.hosts import endpoint_link, is_endpoint, on_endpoint
from distributed.hub.refusals import (
    asked_pause,
    error_of_answer,
    error_of_network,
    offline,
    one_line,
    told_limit,
    unreachable,
)
from distributed.hub.settings import HubAccess
from distributed.hub.waits import Patience

#: Base of every error of the client's HTTP library, by the name under which the client itself derives from it: the
#: library is httpx, or httpx2 since huggingface_hub 2.
HTTP_ERROR: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]

#: Seconds in which a connection to a reachable Hub is made, and in which it answers a first, cheap request.
PROBE_CONNECT_SECONDS = 5.0
PROBE_SECONDS = 20.0

#: How often a request is repeated after 408, 5xx, a timeout or a lost connection; after ``FIRST_WAIT_SECONDS``, twice
#: as many, … up to ``LONGEST_WAIT_SECONDS``, or as long as the server says. After 429: until ``hub.max_wait``.
RETRIES = 4
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0

#: Seconds over which the rate of an answer is measured.
RATE_SECONDS = 10.0

#: Redirects within the Hub (a renamed repository).
MOST_REDIRECTS = 5


class BrokenBodyError(Exception):
    """The body ended early, came too slowly, or is not what the header promises. What came before is good."""


class SlowBodyError(BrokenBodyError):
    """It came more slowly than ``hub.min_rate``."""


def request_headers(url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Who asks, and the user's token where there is one and the Hub itself is asked.

    Not the client's own headers: to make them it may ask the Hub for a list of its own, beside every budget.
    """
    headers = {"user-agent": f"cnn-filter-shift/{__version__}; hf_hub/{hf_version}", **(extra or {})}
    if is_endpoint(url) and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and (token := get_token()):
        headers["authorization"] = f"Bearer {token}"
    return headers


def kind_of(url: str) -> RequestKind | None:
    """What the Hub counts a request to ``url`` as; None: another host, or its cache of small files."""
    if not is_endpoint(url) or url.startswith(f"{constants.ENDPOINT}/api/resolve-cache/"):
        return None
    return RequestKind.api if url.startswith(f"{constants.ENDPOINT}/api/") else RequestKind.resolve


def send(
    url: str,
    what: str,
    access: HubAccess,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    file: str | None = None,
) -> Any:
    """The answer to one GET: a success or a redirect, which is not followed. Its body is unread: close it.

    Args:
        url: of the Hub, or of where it leads.
        what: ``repository@revision/file``, for messages.
        access: how the Hub is asked.
        headers: beside the client's own.
        params: of the query.
        file: path within the repository, for the place of an error.

    Raises:
        UnextractableError: the Hub says that it is gated, private or not there.
        AddressRefusedError: another host refuses the address.
        RetryableError: network or server failed more often than ``RETRIES``, or longer than ``access.max_wait``.
        PermanentError: the Hub refuses the request for another reason.
    """
    kind, patience = kind_of(url), Patience(what, access)
    failures = limits = 0
    while True:
        if kind is not None:
            patience.for_budget(kind)
        try:
            response = _request(url, headers, params)
        except (HTTP_ERROR, OSError, RuntimeError) as error:
            # RuntimeError: the client's own calls close the session that all threads share.
            if kind is not None:
                budget.current().answered(kind, what, None)
            failed, pause, is_limit = error_of_network(error, url, what), None, False
            if offline():
                raise failed from error
        else:
            status, pause = response.status_code, asked_pause(response)
            is_limit = status == 429
            if kind is not None and is_limit:
                budget.current().refused(kind, what, backoff(limits) if pause is None else pause)
            elif kind is not None:
                budget.current().answered(kind, what, told_limit(response))
            if status < 400:
                return response
            with closing(response):
                problem = error_of_answer(response, what, file)
            if type(problem) is not RetryableError:
                raise problem
            failed = problem
        if failures >= RETRIES and not is_limit:
            raise failed
        seconds = backoff(limits if is_limit else failures) if pause is None else pause
        failures, limits = failures + (not is_limit), limits + is_limit
        patience.pause(seconds, str(failed).removeprefix(f"{what}: "))


def backoff(failures: int) -> float:
    """Seconds before the next try, where the server says none."""
    return float(min(FIRST_WAIT_SECONDS * 2**failures, LONGEST_WAIT_SECONDS))


def _request(url: str, headers: Mapping[str, str] | None, params: Mapping[str, Any] | None) -> Any:
    options: dict[str, Any] = {} if params is None else {"params": dict(params)}
    session = get_session()
    request = session.build_request(
        "GET", url, headers=request_headers(url, headers), timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, **options
    )
    return session.send(request, stream=True, follow_redirects=False)


def target_of(response: Any) -> str | None:
    """Where a redirect leads, on the mirror if it names the original; None: it is none."""
    if response.status_code not in (301, 302, 303, 307, 308) or "Location" not in response.headers:
        return None
    return on_endpoint(urljoin(str(response.request.url), response.headers["Location"]))


def body_of(response: Any, access: HubAccess, *, decoded: bool = False) -> Iterator[bytes]:
    """The body in pieces, as sent or ``decoded`` from its compression.

    Raises:
        BrokenBodyError: the connection broke.
        SlowBodyError: it comes more slowly than ``access.min_rate``.
    """
    came = since = 0
    begun = time.monotonic()
    try:
        for chunk in response.iter_bytes() if decoded else response.iter_raw():
            came, since = came + len(chunk), since + len(chunk)
            yield chunk
            passed = time.monotonic() - begun
            if passed >= RATE_SECONDS:
                if since < access.min_rate * passed:
                    rate = since / passed / 1000
                    raise SlowBodyError(
                        f"the body comes at {rate:.1f} kB/s, hub.min_rate is {access.min_rate / 1000:g} kB/s"
                    )
                begun, since = time.monotonic(), 0
    except (HTTP_ERROR, OSError, RuntimeError) as error:
        raise BrokenBodyError(f"the body broke off after {came} bytes ({one_line(error)})") from error


def get_json(url: str, params: Mapping[str, Any] | None = None, access: HubAccess = HubAccess()) -> Any:
    """The JSON answer of one request to the Hub's API.

    Raises:
        FilterShiftError: as ``send``.
        RetryableError: the answer broke off, or is not JSON (a mirror's or proxy's page).
    """
    return _get(url, params, access)[0]


def get_pages(url: str, params: Mapping[str, Any], access: HubAccess = HubAccess()) -> Iterator[Any]:
    """The items of a paginated listing, in the server's order; a page is fetched when it is needed.

    Raises:
        FilterShiftError: as ``get_json``.
        PermanentError: the next page is at another host than the Hub's.
    """
    following: str | None = url
    rest: Mapping[str, Any] | None = params
    while following is not None:
        page, link = _get(following, rest, access)
        following, rest = link and endpoint_link(link, _name_of(url)), None  # the link holds the parameters
        yield from page


def _get(url: str, params: Mapping[str, Any] | None, access: HubAccess) -> tuple[Any, str | None]:
    what, patience, failures = _name_of(url), Patience(url, access), 0
    while True:
        try:
            with closing(_followed(url, params, access)) as response:
                content = b"".join(body_of(response, access, decoded=True))
                return json.loads(content), response.links.get("next", {}).get("url")
        except BrokenBodyError as error:
            problem = RetryableError(f"{what}: {error}")
        except ValueError as error:
            problem = RetryableError(
                f"{what}: {constants.ENDPOINT} does not answer as the Hub does ({one_line(error)}): check HF_ENDPOINT"
            )
        if failures >= RETRIES:
            raise problem
        patience.pause(backoff(failures), str(problem).removeprefix(f"{what}: "))
        failures += 1


def _followed(url: str, params: Mapping[str, Any] | None, access: HubAccess) -> Any:
    what = _name_of(url)
    for _ in range(MOST_REDIRECTS):
        response = send(url, what, access, params=params)
        target = target_of(response)
        if target is None:
            return response
        response.close()
        url, params = endpoint_link(target, what), None  # the target holds the parameters
    raise RetryableError(f"{what}: {MOST_REDIRECTS} redirects in a row, the last to {url}")


def _name_of(url: str) -> str:
    """What an address of the API is about: the repository, or the listing."""
    path = url.removeprefix(f"{constants.ENDPOINT}/api/").partition("?")[0]
    return path.removeprefix("models/").replace("/revision/", "@")


def require_hub() -> None:
    """Make one cheap request, so that a missing network is said at once and not after all retries.

    Raises:
        SourceError: offline mode is on, or nothing answers at the endpoint within ``PROBE_SECONDS``.
    """
    endpoint = constants.ENDPOINT
    if constants.is_offline_mode():
        raise SourceError("HF_HUB_OFFLINE is set: unset it to list models of the Hub, or use source=local")
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def probe() -> None:
        try:
            timeout = (PROBE_CONNECT_SECONDS, PROBE_SECONDS, PROBE_SECONDS, PROBE_SECONDS)
            # A page of the site's own, none of its listings, and not counted as a request to the API.
            get_session().head(f"{endpoint}/robots.txt", timeout=timeout, follow_redirects=False)
            answers.put(None)
        except Exception as error:  # noqa: BLE001 - handed over and raised below
            answers.put(error)

    # In a thread: no timeout of the client bounds the resolution of a name.
    threading.Thread(target=probe, daemon=True, name="hub-probe").start()
    try:
        error = answers.get(timeout=PROBE_SECONDS + PROBE_CONNECT_SECONDS)
    except queue.Empty:
        error = TimeoutError(f"no answer in {PROBE_SECONDS:.0f} s")
    if error is not None:
        raise SourceError(
            f"cannot reach the Hub at {endpoint}{unreachable(endpoint, error)}: check the network and HF_ENDPOINT, "
            "or use source=local or source=sample"
        ) from error
