"""Foreign, half-written, damaged and absent stores: each with its one-line message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distributed.errors import StoreError
from distributed.store import Store, StoreSettings
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID


@pytest.fixture
def root(local_store: Store) -> Path:
    layers = build.weights()
    local_store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers))
    return Path(local_store.uri)


def message(action: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def test_an_absent_or_empty_store_says_what_to_run(store: Store) -> None:
    assert store.model_ids() == set()
    assert store.reference_keys() == {}
    for read in (store.models, store.layers):
        text = message(read)
        assert store.uri in text
        assert "holds no models: run launch/extract.py" in text


def test_a_missing_file_is_named(local_store: Store, root: Path) -> None:
    (root / "layers" / f"{MODEL_ID}.parquet").unlink()
    text = message(local_store.layers)
    assert f"{root}/layers/{MODEL_ID}.parquet is missing although {root}/models/{MODEL_ID}.parquet exists" in text


def test_orphans_of_dead_writers_are_not_seen(local_store: Store, root: Path) -> None:
    for table in ("layers", "filters"):
        orphan = root / table / "0000000000000000.parquet"
        orphan.write_bytes((root / table / f"{MODEL_ID}.parquet").read_bytes())
    assert local_store.model_ids() == {MODEL_ID}
    assert local_store.layers().num_rows == 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.drop_columns("conv_depth"), "column 'conv_depth': expected int32, found none"),
        (
            lambda t: t.set_column(t.column_names.index("sparsity"), "sparsity", pa.array(["a", "b", "c"])),
            "column 'sparsity': expected double, found string",
        ),
        (
            lambda t: t.set_column(t.column_names.index("name"), "name", pa.array(["a", None, "c"])),
            "column 'name': expected a value in every row, found null",
        ),
    ],
)
def test_other_columns_are_named(
    local_store: Store, root: Path, change: Callable[[pa.Table], pa.Table], expected: str
) -> None:
    path = root / "layers" / f"{MODEL_ID}.parquet"
    rewrite(path, change)
    text = message(local_store.layers)
    assert f"{path}: {expected}" in text


def test_filters_of_another_layout_are_named(local_store: Store, root: Path) -> None:
    path = root / "filters" / f"{MODEL_ID}.parquet"
    rewrite(path, lambda t: t.drop_columns("w8"))
    text = message(lambda: local_store.open_filters(MODEL_ID))
    assert f"{path}: column 'w8': expected float, found none" in text
    path.write_bytes(b"PAR1 nothing of the kind")
    assert f"{path} is not a Parquet file" in message(lambda: local_store.open_filters(MODEL_ID))
    path.unlink()
    assert f"{path} is not there" in message(lambda: local_store.open_filters(MODEL_ID))


def test_damaged_files_are_named(local_store: Store, root: Path) -> None:
    path = root / "models" / f"{MODEL_ID}.parquet"
    whole = path.read_bytes()
    for data in (b"", b"not parquet", whole[: len(whole) // 2], whole[:40] + b"\xff" * 200 + whole[240:]):
        path.write_bytes(data)
        assert str(path) in message(local_store.models)


@pytest.mark.parametrize("name", ["notes.txt", "model.parquet", "00112233445566AA.parquet", f"{MODEL_ID}.csv"])
def test_foreign_files_are_named(local_store: Store, root: Path, name: str) -> None:
    (root / "models" / name).write_text("x")
    for read in (local_store.models, local_store.model_ids, local_store.reference_keys):
        text = message(read)
        assert f"{root}/models/{name} is not the store's" in text


def test_hidden_files_are_passed_over(local_store: Store, root: Path) -> None:
    for name in (".DS_Store", "_SUCCESS", f".{MODEL_ID}.parquet.swp"):
        (root / "models" / name).write_text("x")
    assert local_store.models().num_rows == 1


def test_a_renamed_model_is_named(local_store: Store, root: Path) -> None:
    (root / "models" / f"{MODEL_ID}.parquet").rename(root / "models" / "0000000000000001.parquet")
    text = message(local_store.models)
    assert f"column 'model_id': expected 0000000000000001, found {MODEL_ID}" in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (StoreSettings("gs://bucket/x"), "gs:// is not supported; use a folder, file:///folder or s3://bucket/prefix"),
        (StoreSettings("hdfs://host/x"), "hdfs:// is not supported"),
        (StoreSettings(""), "store.uri is empty"),
        (StoreSettings("  "), "store.uri is empty"),
        (StoreSettings("s3://"), "must be s3://bucket/prefix"),
        (StoreSettings("s3://bucket//x", "http://h:1"), "must be s3://bucket/prefix"),
        (StoreSettings("file://host/x"), "names another machine"),
        (StoreSettings("file://x"), "names another machine"),
        (StoreSettings("s3://bucket/x", endpoint_url="localhost:9000"), "write http://host:port"),
        (StoreSettings("s3://bucket/x", endpoint_url="ftp://localhost"), "write http://host:port"),
    ],
)
def test_places_that_are_none(settings: StoreSettings, expected: str) -> None:
    assert expected in message(lambda: Store.open(settings))


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file: give a folder" in message(lambda: Store.open(StoreSettings(str(tmp_path / "file"))))


def test_local_uris_mean_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = str(tmp_path / "a b")
    for uri in ("a b", "./x/../a b/", expected, f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a b", "~/a b"):
        assert Store.open(StoreSettings(uri)).uri == expected


def test_s3_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://general:1")
    found = Store.open(StoreSettings("s3://bucket/a/b/")).settings
    assert found == StoreSettings("s3://bucket/a/b", "http://general:1", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://special:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    found = Store.open(StoreSettings("s3://bucket")).settings
    assert found == StoreSettings("s3://bucket", "http://special:1", "eu-west-1")
    explicit = StoreSettings("s3://bucket", "https://mine", "here")
    assert Store.open(explicit).settings == explicit
