"""Where the content of one file is: the Hub is asked once, and again when the address it gave is refused."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from huggingface_hub import constants, hf_hub_url

from distributed.errors import RetryableError
from distributed.hub.client import MOST_REDIRECTS, backoff, send, target_of
from distributed.hub.hosts import origin_of
from distributed.hub.refusals import AddressRefusedError, RangesRefusedError
from distributed.hub.settings import HubAccess
from distributed.hub.waits import Patience

#: Tries of one request under addresses that are refused, each but the first under a new one.
RENEWALS = 4


class Address:
    """The address of one file at one commit, shared by all threads that read it.

    A large file is at a CDN, under a signed address that expires; a small one the Hub itself sends, and a server
    without a CDN everything.

    Args:
        repo: repository id.
        revision: commit hash.
        path: of the file within the repository.
        what: ``repository@revision/file``, for messages.
        access: how the Hub is asked.
    """

    def __init__(self, repo: str, revision: str, path: str, what: str, access: HubAccess) -> None:
        self._hub_url = hf_hub_url(repo, path, revision=revision, endpoint=constants.ENDPOINT)
        self._what, self._path, self._access = what, path, access
        self._found: str | None = None
        self._asking = threading.Lock()

    @property
    def host(self) -> str:
        """Who answers with the content; "" while nobody has."""
        found = self._found
        return origin_of(found) if found is not None else ""

    def send(self, headers: Mapping[str, str]) -> Any:
        """The answer to one GET of the content; close it. Errors as ``client.send``."""
        patience, refusal = Patience(self._what, self._access), f"{self._what}: its address changes at every request"
        for attempt in range(RENEWALS):
            if attempt > 1:  # the first new address may well be good at once
                patience.pause(backoff(attempt - 2), refusal)
            with self._asking:  # others wait for the address instead of asking for it too
                found = self._found
                if found is None:
                    try:
                        self._found, response = self._ask(headers)
                    except AddressRefusedError as error:
                        refusal = str(error)
                        continue
                    return response
            try:
                response = send(found, self._what, self._access, headers, file=self._path)
                if target_of(response) is None:
                    return response
                response.close()  # it has moved since
            except AddressRefusedError as error:
                refusal = str(error)
            with self._asking:
                if self._found == found:
                    self._found = None
        raise RetryableError(f"{refusal}, {RENEWALS} times, under new addresses too: run it again later")

    def _ask(self, headers: Mapping[str, str]) -> tuple[str, Any]:
        """The address that answers with the content, and this answer."""
        url = self._hub_url
        for _ in range(MOST_REDIRECTS):
            try:
                response = send(url, self._what, self._access, headers, file=self._path)
            except RangesRefusedError:
                self._found = url
                raise
            target = target_of(response)
            if target is None:
                return url, response
            response.close()
            url = target
        raise RetryableError(f"{self._what}: {MOST_REDIRECTS} redirects in a row, the last to {url}")
