"""Rows of all models kept in one file: as good as the models' own files, and no longer trusted than these stay."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from distributed.errors import StoreError
from distributed.records import MODELS_SCHEMA
from distributed.store import Store, StoreSettings, kept_rows
from tests.distributed.store import build
from tests.s3 import S3Server
from tests.s3_proxy import Rules, proxy

IDS = [f"{number:016x}" for number in range(3)]


@pytest.fixture
def full_store(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of three models whose rows are kept."""
    monkeypatch.setattr(kept_rows, "MOST_NOT_KEPT", 1)
    for number, model_id in enumerate(IDS):
        layers = build.weights(number)
        local_store.write_model(model_id, build.batches(model_id, layers), build.finish(model_id, layers, model_id))
    local_store.keep_rows()
    return local_store


def file_of(store: Store, model_id: str) -> Path:
    return Path(store.uri, f"models/{model_id}.parquet")


def blank(store: Store) -> None:
    """Make every model's file look as it did, with nothing in it."""
    for model_id in IDS:
        status = file_of(store, model_id).stat()
        file_of(store, model_id).write_bytes(bytes(status.st_size))
        os.utime(file_of(store, model_id), ns=(status.st_atime_ns, status.st_mtime_ns))


def test_they_are_read_instead_of_the_files_and_hold_the_same(full_store: Store) -> None:
    expected = full_store.models().to_pylist()
    blank(full_store)
    found = full_store.model_rows(IDS, MODELS_SCHEMA.names)
    assert sorted(found, key=lambda row: row["model_id"]) == expected


def test_a_file_that_changed_counts_and_one_that_is_gone_does_not(full_store: Store) -> None:
    full_store.relabel_model(IDS[0], {"name": "renamed"})
    file_of(full_store, IDS[1]).unlink()
    rows = full_store.model_rows(full_store.model_ids(), ("name", "model_id"))
    assert {row["model_id"]: row["name"] for row in rows} == {IDS[0]: "renamed", IDS[2]: IDS[2]}


def test_kept_by_an_older_version_they_lack_what_it_did_not_know(full_store: Store) -> None:
    path = Path(full_store.uri, kept_rows.PATH)
    pq.write_table(pq.read_table(path).drop_columns(["recipe", "attributes"]), path)
    blank(full_store)
    found = full_store.model_rows(IDS, ("name", "recipe", "attributes"))
    assert {row["name"] for row in found} == set(IDS)
    assert {(row["recipe"], row["attributes"]) for row in found} == {(None, None)}


def test_damaged_they_cost_time_and_nothing_else(full_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    Path(full_store.uri, kept_rows.PATH).write_bytes(b"damaged")
    assert sorted(full_store.reference_keys().values()) == IDS
    assert "the models' own files are read, one by one" in caplog.text
    full_store.keep_rows()
    blank(full_store)
    assert sorted(full_store.reference_keys().values()) == IDS


def test_few_new_models_are_no_reason_to_write_them_again(full_store: Store) -> None:
    before = Path(full_store.uri, kept_rows.PATH).read_bytes()
    full_store.relabel_model(IDS[0], {"name": "renamed"})
    full_store.keep_rows()
    assert Path(full_store.uri, kept_rows.PATH).read_bytes() == before


def test_without_them_a_damaged_file_is_named(full_store: Store) -> None:
    Path(full_store.uri, kept_rows.PATH).unlink()
    file_of(full_store, IDS[1]).write_bytes(b"damaged")
    with pytest.raises(StoreError, match=IDS[1]):
        full_store.reference_keys()


def test_in_a_bucket_one_object_is_read_for_all_models(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_rows, "MOST_NOT_KEPT", 1)
    s3_server.make_bucket("kept")
    rules = Rules()
    with proxy(s3_server, rules) as endpoint:
        store = Store.open(StoreSettings("s3://kept/x", endpoint_url=endpoint))
        for model_id in IDS:
            layers = build.weights()
            store.write_model(model_id, build.batches(model_id, layers), build.finish(model_id, layers, model_id))
        store.keep_rows()
        rules.requests.clear()
        assert sorted(store.reference_keys().values()) == IDS
        read = [each for each in rules.requests if each.startswith("GET") and ".parquet" in each]
        assert read
        assert {each.split()[1] for each in read} == {"/kept/x/kept/models.parquet"}
