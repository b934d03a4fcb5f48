"""Services that are not AWS, and answers that get lost: a real proxy in front of the real service."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from distributed.errors import RetryableError, StoreError
from distributed.store import Store, StoreSettings, WriteReceipt
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID
from tests.s3 import S3Server


@dataclass
class Rules:
    """What the proxy does besides passing on; ``seen`` counts creations that carried the condition."""

    refuse_condition: tuple[int, str] | None = None
    lose_first_answer: bool = False
    seen: list[str] = field(default_factory=list)


@contextmanager
def proxy(server: S3Server, rules: Rules) -> Iterator[str]:
    target = urlsplit(server.endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            conditional = self.headers.get("If-None-Match") == "*"
            if conditional:
                rules.seen.append(self.path)
            if conditional and rules.refuse_condition is not None:
                status, code = rules.refuse_condition
                text = f"<Error><Code>{code}</Code><Message>A header is not implemented</Message></Error>".encode()
                return self.answer(status, [("Content-Type", "application/xml")], text)
            upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers))
            response = upstream.getresponse()
            data = response.read()
            if conditional and rules.lose_first_answer and len(rules.seen) == 1:
                self.close_connection = True  # done upstream, and nobody hears of it
                return None
            return self.answer(response.status, response.getheaders(), data)

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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}"
        finally:
            listener.shutdown()
            thread.join()


def write(store: Store) -> WriteReceipt:
    layers = build.weights()
    return store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers))


def racing(store: Store) -> WriteReceipt:
    """A write that finds, after it looked, that another writer was first."""
    layers = build.weights()
    receipts = []

    def finish():  # type: ignore[no-untyped-def]
        receipts.append(write(store))
        return build.finish(MODEL_ID, layers)()

    receipt = store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), finish)
    assert receipts[0].created
    return receipt


@pytest.mark.parametrize("answer", [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_service_without_conditional_writes(s3_server: S3Server, bucket: str, answer: tuple[int, str]) -> None:
    rules = Rules(refuse_condition=answer)
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings(f"s3://{bucket}/x", endpoint_url=endpoint))
        assert write(store).created
        assert not write(store).created
        assert store.models().num_rows == 1
    assert rules.seen  # the condition was tried


def test_an_answer_that_got_lost(s3_server: S3Server, bucket: str) -> None:
    """The row is made, the answer lost, the request repeated and refused: it is still this writer's row."""
    rules = Rules(lose_first_answer=True)
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings(f"s3://{bucket}/x", endpoint_url=endpoint))
        assert write(store).created
    assert len(rules.seen) == 2


def test_the_second_writer_is_told(store: Store) -> None:
    assert not racing(store).created
    assert store.models().num_rows == 1


def test_nobody_there() -> None:
    """What a driver asks first fails at once, not after a minute of the SDK's retries."""
    store = Store.open(StoreSettings("s3://bucket/x", endpoint_url="http://127.0.0.1:9"))
    for action in (store.model_ids, store.models):
        started = time.monotonic()
        with pytest.raises(StoreError, match=r"nothing answers at http://127\.0\.0\.1:9: Connection refused \(check"):
            action()
        assert time.monotonic() - started < 10


@pytest.mark.slow
def test_nobody_there_while_writing() -> None:
    """A service that went away in the middle: worth another try, after the client's own."""
    store = Store.open(StoreSettings("s3://bucket/x", endpoint_url="http://127.0.0.1:9"))
    started = time.monotonic()
    with pytest.raises(RetryableError) as caught:
        store.prepare()
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 150
