"""A real proxy in front of the real S3 service, that counts, refuses and loses."""

from __future__ import annotations

import http.client
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.s3 import S3Server

#: In place of an answer: the connection is lost when half of the request is through.
CUT = (0, "")


@dataclass
class Rules:
    """What the proxy does besides passing on.

    ``forbid``: pattern of requests that are refused, ``refusal``: by what. ``seen`` counts creations that
    carried the condition, ``requests`` everything: ``DELETE /bucket/key``. ``disturb`` is told each request,
    may take its time, and says what it is answered instead: a refusal, or ``CUT``.
    """

    refuse_condition: tuple[int, str] | None = None
    lose_first_answer: bool = False
    forbid: str | None = None
    refusal: tuple[int, str] = (403, "AccessDenied")
    seen: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    disturb: Callable[[str], tuple[int, str] | None] | None = None


class _Listener(ThreadingHTTPServer):
    """Says nothing of clients that are gone: some are killed."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def proxy(server: S3Server, rules: Rules) -> Iterator[str]:
    target = urlsplit(server.endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            rules.requests.append(f"{self.command} {self.path}")
            instead = rules.disturb and rules.disturb(unquote(f"{self.command} {self.path}"))
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length // 2 if instead == CUT else length)
            if instead == CUT:
                self.close_connection = True
                return None
            if instead:
                return self.refuse(*instead, "Disturbed")
            conditional = self.headers.get("If-None-Match") == "*"
            if conditional:
                rules.seen.append(self.path)
            if conditional and rules.refuse_condition is not None:
                status, code = rules.refuse_condition
                return self.refuse(status, code, "A header is not implemented")
            if rules.forbid is not None and re.search(rules.forbid, unquote(rules.requests[-1])):
                return self.refuse(*rules.refusal, "Access Denied")
            upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers))
            response = upstream.getresponse()
            data = response.read()
            if conditional and rules.lose_first_answer and len(rules.seen) == 1:
                self.close_connection = True  # done upstream, and nobody hears of it
                return None
            return self.answer(response.status, response.getheaders(), data)

        def refuse(self, status: int, code: str, message: str) -> None:
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            return self.answer(status, [("Content-Type", "application/xml")], text)

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            length = None
            for name, value in headers:
                if name.lower() == "content-length":
                    length = value
                elif name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length if self.command == "HEAD" and length else len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with _Listener(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}"
        finally:
            listener.shutdown()
            thread.join()
