"""One connection: what is asked, counted, refused, and sent as a fault wills."""

from __future__ import annotations

import json
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.hub.bodies import Answer
from tests.hub.faults import Fault, FaultKind
from tests.hub.requests import Request

if TYPE_CHECKING:
    from tests.hub.server import LoopbackHub

_SILENT_SECONDS = 30.0


class Handler(BaseHTTPRequestHandler):
    """Base of the Hub's and the CDN's; ``answer`` is theirs."""

    hub: LoopbackHub
    origin: str
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and a small body in one packet
    disable_nagle_algorithm = True
    fault: Fault | None = None

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: tests read ``LoopbackHub.requests``."""

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def answer(self) -> None:
        """Answer the request."""
        raise NotImplementedError

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_seen = Request(self.command, self.path, headers, self.origin)
        self.hub.requests.append(self.request_seen)
        # A redirect to the CDN is not the response that faults of bodies are about.
        self.fault = self.hub.fault_of(f"{self.origin} {self.command} {self.path}")
        within, self.quota_headers = self.hub.count_against_quota(self.request_seen)
        if not within:
            return self.error(429, "", "Too Many Requests")
        if self.fault is not None and not self._goes_on(self.fault):
            return None
        return self.answer()

    def _goes_on(self, fault: Fault) -> bool:
        """Whether an answer with content follows."""
        if fault.kind is FaultKind.RESET:
            self.reset()
        elif fault.kind is FaultKind.SILENCE:
            self.hub.closing.wait(_SILENT_SECONDS)
            self.reset()
        elif (status := fault.kind.status) is not None:
            usual = {"Retry-After": "0"} if fault.kind is FaultKind.TOO_MANY else {}
            if fault.kind in (FaultKind.TOO_MANY, FaultKind.TOO_MANY_BARE):
                self.quota_headers = {}
            message = "Invalid credentials in Authorization header" if status == 401 and not fault.code else "refused"
            self.error(status, fault.code, message, fault.headers or usual)
        else:
            return True
        return False

    def json(self, content: Any, headers: dict[str, str] | None = None) -> None:
        """Answer 200 with this content."""
        body = json.dumps(content, default=str).encode()
        self.send(Answer(200, {"Content-Type": "application/json", **(headers or {})}, len(body), iter((body,))))

    def error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        """Answer with an error as the Hub words it; the CDN knows no codes."""
        said = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})} if self.origin == "hub" else {}
        body = json.dumps({"error": message}).encode()
        given = said | (headers or {}) | {"Content-Type": "application/json"}
        self.send(Answer(status, given, len(body), iter((body,))))

    def send(self, answer: Answer) -> None:
        """Send it, or what the fault leaves of it."""
        kind = self.fault.kind if self.fault is not None and answer.status in (200, 206) else None
        promised = stop = answer.length
        if self.fault is not None and kind in (FaultKind.CUT_AT, FaultKind.STALL):
            stop = min(stop, self.fault.size)
        elif kind in (FaultKind.SHORT_BODY, FaultKind.CUT_BODY):
            stop //= 2
        if kind is FaultKind.SHORT_BODY:
            promised = stop
        self.request_seen.status = answer.status
        self.send_response(answer.status)
        for name, value in (answer.headers | self.quota_headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        if self.command != "HEAD":
            self._send_pieces(answer, stop)
        if stop < promised:
            self.wfile.flush()
            self.close_connection = True
            if kind is FaultKind.STALL:
                self.hub.closing.wait(_SILENT_SECONDS)
                self.reset()

    def _send_pieces(self, answer: Answer, stop: int) -> None:
        trickles = self.fault is not None and self.fault.kind is FaultKind.TRICKLE and answer.status in (200, 206)
        for piece in answer.pieces:
            piece = piece[: stop - self.request_seen.sent]
            step = max(1, self.fault.rate // 20) if self.fault is not None and trickles else max(1, len(piece))
            for start in range(0, len(piece), step):
                part = piece[start : start + step]
                self.wfile.write(part)
                self.request_seen.sent += len(part)
                if trickles:
                    self.wfile.flush()
                    time.sleep(0.05)
            if self.request_seen.sent >= stop:
                return

    def reset(self) -> None:
        """End the connection as a crash does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
