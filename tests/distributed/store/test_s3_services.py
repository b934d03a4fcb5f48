"""Services that are not AWS, and answers that get lost: a real proxy in front of the real service."""

from __future__ import annotations

import time

import pytest

from distributed.errors import RetryableError, StoreError
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
