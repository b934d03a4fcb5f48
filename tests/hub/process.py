"""The server as a process of its own, and how tests speak to it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hub.faults import Fault
from tests.hub.requests import Request

_ROOT = Path(__file__).resolve().parents[2]


class HubProcess:
    """A server elsewhere, by its control channel (``control``, an address).

    Attributes of ``LoopbackHub`` are set by ``set``.
    """

    def __init__(self, control: str) -> None:
        self.control = control
        said = self._ask("/", {})
        self.endpoint: str = said["endpoint"]
        self.cdn_endpoint: str = said["cdn_endpoint"]

    def set(self, **settings: Any) -> None:
        """Set attributes of the server: values as JSON has them (``quotas`` a dict, ``several_ranges`` a name)."""
        self._ask("/", {"set": settings})

    def fail(self, *faults: Fault) -> None:
        """Add faults."""
        self._ask("/", {"faults": [each.to_json() for each in faults]})

    def heal(self) -> None:
        """No faults any more."""
        self._ask("/", {"heal": True})

    def revoke(self) -> None:
        """All signed addresses given so far are worthless."""
        self._ask("/", {"revoke": True})

    def forget(self) -> None:
        """Count from zero."""
        self._ask("/", {"forget": True})

    def settle(self) -> None:
        """A healthy server as the Hub is, that has counted nothing: a CDN, all public, no quotas."""
        self.heal()
        self.set(
            cdn=True,
            resolve_cache=True,
            gated=[],
            private=[],
            renamed={},
            token=None,
            quotas=None,
            page_size=1000,
            link_base=None,
            several_ranges="multipart",
            signature_seconds=3600,
        )
        self.forget()

    def warm(self, repo_id: str) -> None:
        """Have it compute the digests of a repository now."""
        self._ask("/", {"warm": repo_id})

    def counts(self) -> dict[str, int]:
        """See ``LoopbackHub.counts``."""
        found: dict[str, int] = self._ask("/counts")
        return found

    def requests(self) -> list[Request]:
        """Everything that came in since ``forget``."""
        return [Request(**each) for each in self._ask("/requests")]

    def _ask(self, path: str, wish: dict[str, Any] | None = None) -> Any:
        body = None if wish is None else json.dumps(wish).encode()
        request = urllib.request.Request(self.control + path, body, method="GET" if body is None else "POST")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def hub_process(root: Path, **settings: Any) -> Iterator[HubProcess]:
    """A server over ``root`` in another process, until the end of the block."""
    command = [sys.executable, "-m", "tests.hub", "--until-eof", str(root)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = dict(process.stdout.readline().strip().split("=", 1) for _ in range(2))
            server = HubProcess(lines["CONTROL"])
            server.set(**settings)
            yield server
        finally:
            process.terminate()
