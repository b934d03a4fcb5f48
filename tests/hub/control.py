"""The third port: what another process may set, and what it may know."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tests.hub.bodies import Several
from tests.hub.faults import Fault
from tests.hub.handler import Handler
from tests.hub.quotas import Quotas
from tests.hub.requests import Request

#: How values of settings come out of JSON.
_READ: dict[str, Any] = {
    "gated": frozenset,
    "private": frozenset,
    "several_ranges": lambda name: Several[name],
    "quotas": lambda given: given and Quotas(**given),
}


class ControlHandler(Handler):
    """``GET /counts``, ``/requests``; ``POST`` of {"set": {attribute: value}, "faults", "heal", "forget", …}."""

    def _handle(self) -> None:
        self.request_seen, self.quota_headers = Request(self.command, self.path, {}, "control"), {}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST":
            self._obey(json.loads(self.body))
            return self.json({"endpoint": self.hub.endpoint, "cdn_endpoint": self.hub.cdn_endpoint})
        if self.path == "/requests":
            return self.json([asdict(each) for each in list(self.hub.requests)])
        return self.json(self.hub.counts())

    def _obey(self, wish: dict[str, Any]) -> None:
        for name, value in wish.get("set", {}).items():
            assert hasattr(self.hub, name), name
            setattr(self.hub, name, _READ.get(name, lambda same: same)(value))
        if wish.get("heal"):
            self.hub.faults.clear()
        if wish.get("forget"):
            self.hub.requests.clear()
        if wish.get("revoke"):
            self.hub.signer.revoke()
        if "warm" in wish:
            self.hub.repo(wish["warm"])
        self.hub.faults += [Fault.from_json(each) for each in wish.get("faults", [])]
