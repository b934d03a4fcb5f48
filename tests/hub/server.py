"""The server in this process."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hub.bodies import Several
from tests.hub.faults import Fault
from tests.hub.providers import folder_of, ids_in, read_repo, tiny_repo
from tests.hub.quotas import COUNTED, Quotas
from tests.hub.repositories import Repo
from tests.hub.requests import Request, counts_of
from tests.hub.routes import CdnHandler, HubHandler
from tests.hub.signatures import Signer


@dataclass
class LoopbackHub:
    """The server. Repositories are the folders ``root/owner/name``, or ``root/name`` as ``<owner>/name``.

    Attributes:
        root: the folder; read again at every request, so that tests may change it. Of a repository that changed the
            earlier commits are still there, as far as all its files are small.
        owner: of folders one level deep.
        gated: ids that only ``token`` may download.
        private: ids that only ``token`` sees.
        renamed: old id → new id; the old one leads there.
        token: the one accepted; None: no request is authenticated.
        cdn: serve LFS files from another origin, by redirect to signed addresses.
        signature_seconds: how long these are good.
        several_ranges: what is answered when several ranges are asked for in one request.
        resolve_cache: small files are served by a redirect within the Hub, as it does.
        page_size: items of a page of a listing.
        link_base: the endpoint that links to following pages name; None: this one.
        quotas: None: none, and no headers of them.
        tiny: so many repositories ``many/net-00000`` … without a folder.
        faults: see ``Fault``; added to at any time.
        requests: everything that came in.
    """

    root: Path
    owner: str = "samples"
    gated: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    renamed: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    cdn: bool = False
    signature_seconds: float = 3600.0
    several_ranges: Several = Several.multipart
    resolve_cache: bool = False
    page_size: int = 1000
    link_base: str | None = None
    quotas: Quotas | None = None
    tiny: int = 0
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._repos: dict[tuple[str, float], Repo] = {}
        self._commits: dict[tuple[str, str], Repo] = {}
        self._tiny: dict[str, Repo] = {}
        self.signer = Signer()
        self.closing = threading.Event()
        self.endpoint = self.cdn_endpoint = ""

    def __enter__(self) -> LoopbackHub:
        self.endpoint = self.serve(HubHandler, self.port)
        self.cdn_endpoint = self.serve(CdnHandler, 0)
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        self._stack.close()

    def serve(self, handler: type[BaseHTTPRequestHandler], port: int) -> str:
        """Answer by ``handler``, which gets this as ``hub``, until the end; its endpoint."""
        server = _Server(("127.0.0.1", port), type("Handler", (handler,), {"hub": self}))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def repo(self, repo_id: str) -> Repo | None:
        """The repository of this id at its last commit, None if there is none."""
        if found := self._all_tiny().get(repo_id):
            return found
        folder = folder_of(self.root, self.owner, repo_id)
        if folder is None:
            return None
        newest = max(path.stat().st_mtime for path in folder.rglob("*"))
        with self._lock:
            if (repo_id, newest) not in self._repos:
                repo = self._repos[repo_id, newest] = read_repo(repo_id, folder)
                self._commits[repo_id, repo.sha] = repo
            return self._repos[repo_id, newest]

    def repo_at(self, repo_id: str, sha: str) -> Repo | None:
        """The repository at this commit, None if there is none or its content was not kept."""
        current = self.repo(repo_id)
        if current is None or current.sha == sha:
            return current
        earlier = self._commits.get((repo_id, sha))
        kept = earlier is not None and all(file.content is not None for file in earlier.files.values())
        return earlier if kept else None

    def repos(self) -> Iterator[Repo]:
        """All repositories, by id."""
        for each in ids_in(self.root, self.owner):
            found = self.repo(each)
            if found is not None:
                yield found
        yield from self._all_tiny().values()

    def _all_tiny(self) -> dict[str, Repo]:
        with self._lock:
            if len(self._tiny) != self.tiny:
                made = (tiny_repo(number) for number in range(self.tiny))
                self._tiny = {repo.id: repo for repo in made}
            return self._tiny

    def fault_of(self, line: str) -> Fault | None:
        """The fault that happens to this request."""
        with self._lock:
            return next((fault for fault in self.faults if fault.applies(line)), None)

    def count_against_quota(self, request: Request) -> tuple[bool, dict[str, str]]:
        """Whether a request is within the quota, and the headers that say how much is left."""
        if self.quotas is None or request.kind not in COUNTED:
            return True, {}
        return self.quotas.count(request.headers.get("authorization", "").removeprefix("Bearer "), request.kind)

    @property
    def bytes_sent(self) -> int:
        """Of the bodies that went out."""
        return sum(request.sent for request in list(self.requests))

    def counts(self) -> dict[str, int]:
        """Requests and bytes by kind since the start, or since ``requests`` was cleared."""
        return counts_of(list(self.requests))

    def sent(self, pattern: str, origin: str | None = None) -> list[Request]:
        """Requests whose ``METHOD /path`` the pattern matches."""
        found = [each for each in list(self.requests) if re.search(pattern, f"{each.method} {each.path}")]
        return [each for each in found if origin in (None, each.origin)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves early is what some tests provoke; anything else is a defect of this server.
        error = sys.exc_info()[1]
        closed_here = isinstance(error, ValueError) and "closed file" in str(error)
        if not isinstance(error, ConnectionError) and not closed_here:
            super().handle_error(request, client_address)
