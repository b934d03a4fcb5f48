"""Services that are not AWS, and answers that get lost: a real proxy in front of the real service."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from distributed.errors import RetryableError, StoreError, UnusableStoreError
from distributed.store import Store, StoreSettings, WriteReceipt
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID
from tests.s3 import S3Server
from tests.s3_proxy import Rules, proxy


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
    """What a driver or an actor asks first fails at once, not after a minute of the SDK's retries."""
    store = Store.open(StoreSettings("s3://bucket/x", endpoint_url="http://127.0.0.1:9"))
    for action in (store.model_ids, store.models, store.probe_writing):
        started = time.monotonic()
        with pytest.raises(StoreError, match=r"nothing answers at http://127\.0\.0\.1:9: Connection refused \(check"):
            action()
        assert time.monotonic() - started < 10


def test_a_host_that_swallows_everything() -> None:
    """A wrong address in a private network: connecting neither succeeds nor fails."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        with ExitStack() as stack:  # connections that nobody accepts fill its queue; from then on it is silent
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(silent.getsockname())
            store = Store.open(StoreSettings("s3://bucket/x", f"http://127.0.0.1:{silent.getsockname()[1]}"))
            started = time.monotonic()
            with pytest.raises(StoreError, match="nothing answers at"):
                store.model_ids()
            assert time.monotonic() - started < 10


def test_no_credentials(s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with proxy(s3_server, Rules()) as endpoint:  # s3fs keeps its connections to an endpoint, credentials and all
        store = Store.open(StoreSettings(f"s3://{bucket}/x", endpoint_url=endpoint))
        started = time.monotonic()
        with pytest.raises(UnusableStoreError, match=r"no valid credentials for s3://.*AWS_ACCESS_KEY_ID"):
            store.probe_writing()
    assert time.monotonic() - started < 10


REFUSALS = [
    ((403, "AccessDenied"), "no permission.*grant it"),
    ((400, "ExpiredToken"), "no valid credentials .*renew"),
    ((400, "InvalidToken"), "no valid credentials .*renew"),
    ((403, "InvalidAccessKeyId"), "no valid credentials .*renew"),
    ((507, "XMinioStorageFull"), "no space left in s3://.*free some"),
    ((404, "NoSuchBucket"), "does not exist: create it"),
]


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS)
def test_refusals_are_of_the_whole_store(
    s3_server: S3Server, bucket: str, refusal: tuple[int, str], expected: str
) -> None:
    """Whatever is asked: nothing that a model could help."""
    rules = Rules(forbid=".", refusal=refusal)
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings(f"s3://{bucket}/x", endpoint_url=endpoint))
        writes = (store.probe_writing, lambda: store.has_model(MODEL_ID), lambda: write(store))
        for action in (*writes, *((store.model_ids,) if refusal[0] in (400, 403) else ())):
            rules.requests.clear()
            with pytest.raises(UnusableStoreError, match=expected) as caught:
                action()
            assert "\n" not in str(caught.value)
            assert len(rules.requests) == 1


@pytest.mark.parametrize("answer", [(500, "InternalError"), (503, "SlowDown")])
def test_failures_of_the_service_may_pass(
    s3_server: S3Server, bucket: str, answer: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that outlasts the client's own tries is nobody's fault."""
    monkeypatch.setattr("distributed.store.s3._REQUEST_ATTEMPTS", 2)
    rules = Rules(forbid=".", refusal=answer)
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings(f"s3://{bucket}/x", endpoint_url=endpoint))
        for action in (lambda: store.has_model(MODEL_ID), lambda: write(store)):
            with pytest.raises(RetryableError):
                action()
        rules.forbid = None
        assert write(store).created


def test_requests_of_a_model(s3_server: S3Server, bucket: str) -> None:
    """What a new model costs: each request is time and money, five hundred million filters are many."""
    rules = Rules()
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings(f"s3://{bucket}/x", endpoint_url=endpoint))
        assert not store.has_model(MODEL_ID)
        assert write(store).created
    assert [request.split()[0] for request in rules.requests] == ["GET", "GET", "PUT", "PUT", "PUT"]


def test_nothing_is_left_of_a_probe(store: Store) -> None:
    store.probe_writing()
    infos = store.arrow_filesystem().get_file_info(
        pafs.FileSelector(store._path("x")[:-2], recursive=True, allow_not_found=True)
    )
    assert [info.path for info in infos if info.type is pafs.FileType.File] == []
    assert store.model_ids() == set()
