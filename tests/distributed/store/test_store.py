"""What is written is what is read, on disk and on S3."""

from __future__ import annotations

import dataclasses
import pickle
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distributed.errors import StoreError
from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, MODELS_SCHEMA, REJECTS_SCHEMA
from distributed.store import ModelRow, Reject, RejectKind, Store, WriteReceipt
from distributed.store import row_groups as row_groups_module
from distributed.store import writer as writer_module
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID, OTHER_ID
from tests.s3 import S3Server


def write(store: Store, model_id: str = MODEL_ID, seed: int = 0, name: str = "tiny") -> WriteReceipt:
    layers = build.weights(seed)
    return store.write_model(model_id, build.batches(model_id, layers), build.finish(model_id, layers, name))


def test_a_model_is_read_as_it_was_written(store: Store) -> None:
    receipt = write(store)
    layers = build.weights()
    assert receipt.created
    assert receipt.model_id == MODEL_ID
    assert store.has_model(MODEL_ID)
    assert not store.has_model(OTHER_ID)
    assert store.model_ids() == {MODEL_ID}
    assert store.reference_keys() == {MODEL_ID[::-1]: MODEL_ID}
    assert store.models().equals(build.model_row(MODEL_ID, layers).to_table())
    assert store.layers().equals(build.layers_table(MODEL_ID, layers))
    assert store.layers(["name", "layer_id"]).column_names == ["name", "layer_id"]
    table = pq.read_table(store.filters_path(MODEL_ID), filesystem=store.arrow_filesystem())
    assert table.schema.equals(FILTERS_SCHEMA)
    found = np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)
    expected = np.concatenate([w.reshape(-1, 9) for w in layers])
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))  # bit for bit
    with store.open_filters(MODEL_ID) as opened:
        assert opened.metadata.num_rows == len(expected)


def test_the_receipt_counts_the_bytes_of_all_three_files(local_store: Store) -> None:
    receipt = write(local_store)
    assert receipt.bytes == sum(p.stat().st_size for p in Path(local_store.uri).rglob("*.parquet"))


def test_a_second_write_changes_nothing(store: Store) -> None:
    write(store)
    before = store.models()
    layers = build.weights(seed=5)
    receipt = store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers))
    assert receipt == WriteReceipt(MODEL_ID, created=False, bytes=0)
    assert store.models().equals(before)


def test_both_kinds_hold_the_same_bytes(local_store: Store, s3_store: Store, s3_server: S3Server, bucket: str) -> None:
    for store in (local_store, s3_store):
        write(store)
        write(store, OTHER_ID, seed=1)
    root = Path(local_store.uri)
    local = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.parquet")}
    remote = {key.removeprefix("some/prefix/"): data for key, data in s3_server.objects(bucket).items()}
    assert local.keys() == remote.keys()
    for key in local:
        if not key.startswith("models/"):  # rows of models name their writer
            assert local[key] == remote[key], key
    assert local_store.models().equals(s3_store.models())


def test_row_groups_are_cut_by_rows_not_by_layers(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (writer_module, row_groups_module):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", 20)
    write(local_store)
    with local_store.open_filters(MODEL_ID) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [20, 20, 12]


def test_filters_are_stored_plainly(local_store: Store) -> None:
    """Uncompressed, no dictionary of floats, statistics of layer_id only: what makes scans fast."""
    write(local_store)
    with local_store.open_filters(MODEL_ID) as file:
        group = file.metadata.row_group(0)
    for i in range(group.num_columns):
        column = group.column(i)
        is_id = column.path_in_schema == "layer_id"
        assert column.compression == "UNCOMPRESSED"
        assert ("RLE_DICTIONARY" in column.encodings) == is_id
        assert column.is_stats_set == is_id


GOLDEN = {
    "filters": "layer_id int64!, w0 float!, w1 float!, w2 float!, w3 float!, w4 float!, w5 float!, w6 float!, "
    "w7 float!, w8 float!",
    "layers": "layer_id int64!, model_id string!, layer_index int32!, name string!, conv_depth int32!, "
    "conv_depth_norm double!, depth_method string!, out_channels int32, in_channels int32, groups int32, "
    "is_depthwise bool, is_transposed bool, dtype string!, num_filters int64!, sparsity double!, "
    "variance_entropy double!, variance_entropy_normalized double, variance_entropy_clean double, "
    "orthogonality double, norm_mean double!, norm_std double!, max_abs double!, "
    "scaled_sum fixed_size_list<element: double>[9]!, scaled_gram fixed_size_list<element: double>[45]!, "
    "extreme_filters fixed_size_list<element: float>[36], clean_sum fixed_size_list<element: double>[9], "
    "clean_gram fixed_size_list<element: double>[45], num_clean int64, digest string, "
    "weight_sketch fixed_size_list<element: float>[256]",
    "models": "model_id string!, name string!, source string!, uri string!, revision string, file string!, "
    "format string!, sha256 string, reference_key string!, library string, architecture string, family string, "
    "task string, visual_category string, training_dataset string, pretraining_dataset string, license string, "
    "paper string, origins list<element: struct<key: string, value: string>>!, num_parameters int64, "
    "total_filters int64, num_filters int64!, "
    "share_3x3 double, kernel_shapes list<element: struct<key: string, value: int64>>!, "
    "op_counts list<element: struct<key: string, value: int64>>, num_conv_layers int32, "
    "num_layers_3x3 int32!, notes list<element: string>!, bytes_read int64!, bytes_total int64!, "
    "extracted_at timestamp[ms, tz=UTC]!, tool_version string!, variant string, "
    "recipe string, resolution int32, attributes list<element: struct<key: string, value: string>>",
    "skips": "reference_key string!, name string!, source string!, uri string!, revision string, file string, "
    "reason string!, message string!, tensor string, expected string, found string, retryable bool!, "
    "attempts int32!, recorded_at timestamp[ms, tz=UTC]!, tool_version string!, node string, run_id string",
}


@pytest.mark.parametrize("table", GOLDEN)
def test_names_and_types_are_pinned(local_store: Store, table: str) -> None:
    """A stored data set outlives the code: change this only together with a way to read the old one."""
    write(local_store)
    local_store.write_skip(build.reject())
    (file,) = (Path(local_store.uri) / table).iterdir()
    fields = pq.ParquetFile(file).schema_arrow
    assert ", ".join(f"{f.name} {type_name(f.type)}{'' if f.nullable else '!'}" for f in fields) == GOLDEN[table]


def type_name(kind: pa.DataType) -> str:
    # pyarrow prints a map read from Parquet with the names of its inner fields.
    return f"map<{kind.key_type}, {kind.item_type}>" if pa.types.is_map(kind) else str(kind)


def test_records_have_the_fields_of_the_schemas() -> None:
    assert [f.name for f in dataclasses.fields(ModelRow)] == MODELS_SCHEMA.names
    assert [f.name for f in dataclasses.fields(Reject)] == REJECTS_SCHEMA.names


def test_records_refuse_missing_values() -> None:
    row = build.model_row(MODEL_ID, build.weights())
    with pytest.raises(ValueError, match=r"ModelRow\.name must not be None"):
        dataclasses.replace(row, name=None).to_table()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time zone"):
        dataclasses.replace(row, extracted_at=row.extracted_at.replace(tzinfo=None)).to_table()
    assert dataclasses.replace(row, op_counts=None).to_table()["op_counts"].null_count == 1


def test_rejects_are_kept_replaced_and_cleared(store: Store) -> None:
    reject = build.reject()
    assert store.skips() == store.failures() == store.reject_keys() == {}
    store.write_skip(reject)
    assert store.skips() == {reject.reference_key: reject}
    again = dataclasses.replace(reject, message="another try", attempts=3, retryable=True)
    store.write_failure(again)  # a model is recorded once, as what it was last
    assert store.skips() == {}
    assert store.failures() == {reject.reference_key: again}
    assert store.reject_keys()[reject.reference_key].kind is RejectKind.FAILURE
    store.write_skip(reject)
    assert store.failures() == {}
    store.clear_reject(reject.reference_key)
    store.clear_reject(reject.reference_key)
    assert store.reject_keys() == {}


def test_small_objects(store: Store) -> None:
    assert store.read_bytes("sketches/basis/a.bin") is None
    store.write_bytes("sketches/basis/a.bin", b"one")
    store.write_bytes("sketches/basis/a.bin", b"two")
    assert store.read_bytes("sketches/basis/a.bin") == b"two"
    for path in ("models/x", "sketches/../models/x", "sketches/", "/etc/passwd", "sketches//x"):
        with pytest.raises(ValueError, match="sketches/"):
            store.write_bytes(path, b"")
        with pytest.raises(ValueError, match="sketches/"):
            store.read_bytes(path)


def test_small_objects_are_listed(store: Store) -> None:
    assert store.list_bytes("sketches/abc") == []
    for name in ("abc/b.parquet", "abc/a.parquet", "other.json", "abc/deeper/c.parquet"):
        store.write_bytes(f"sketches/{name}", b"x")
    assert store.list_bytes("sketches/abc") == ["sketches/abc/a.parquet", "sketches/abc/b.parquet"]
    with pytest.raises(ValueError, match="small objects live under sketches/"):
        store.list_bytes("filters")


def test_keys_cannot_leave_the_store(local_store: Store) -> None:
    for key in ("../../etc/passwd", "", "00112233445566AA", "00112233445566aa0"):
        with pytest.raises(ValueError, match="16 hex digits"):
            local_store.filters_path(key)
        with pytest.raises(ValueError, match="16 hex digits"):
            local_store.clear_reject(key)
        with pytest.raises(ValueError, match="16 hex digits"):
            local_store.write_model(key, [], lambda: pytest.fail("not reached"))


def test_a_store_travels(store: Store) -> None:
    """To a Ray actor: pickled small, connected or not."""
    write(store)
    store.write_skip(build.reject())
    data = pickle.dumps(store)
    assert len(data) < 1000
    assert pickle.loads(data).model_ids() == {MODEL_ID}
    assert Store.open(store.settings).model_ids() == {MODEL_ID}


@pytest.mark.parametrize("writers", [8])
def test_concurrent_writers_make_one_model(store: Store, writers: int) -> None:
    """All at the same moment: each stages, one publishes."""
    barrier = threading.Barrier(writers)
    layers = build.weights()

    def one(i: int) -> WriteReceipt:
        def finish() -> tuple[ModelRow, pa.Table]:
            barrier.wait(timeout=60)  # everybody has seen that the model isn't there
            return build.model_row(MODEL_ID, layers), build.layers_table(MODEL_ID, layers)

        mine = Store.open(store.settings)
        return mine.write_model(MODEL_ID, build.batches(MODEL_ID, layers), finish)

    with ThreadPoolExecutor(writers) as pool:
        receipts = list(pool.map(one, range(writers)))
    assert sum(receipt.created for receipt in receipts) == 1
    assert store.models().num_rows == 1
    assert store.layers().num_rows == len(layers)


def test_many_models_are_read_in_order(store: Store) -> None:
    ids = sorted(uuid.UUID(int=i, version=4).hex[-16:] for i in range(40))
    for i, model_id in enumerate(ids):
        write(store, model_id, seed=i, name=f"model {i}")
    assert store.models()["model_id"].to_pylist() == ids
    assert store.layers(["model_id"])["model_id"].to_pylist() == [i for i in ids for _ in range(3)]
    assert len(store.reference_keys()) == 40


def test_extra_columns_are_welcome(local_store: Store) -> None:
    write(local_store)
    write(local_store, OTHER_ID)
    path = Path(local_store.uri) / "models" / f"{OTHER_ID}.parquet"
    table = pq.read_table(path).append_column("accuracy", pa.array([0.75]))
    pq.write_table(table, path)
    models = local_store.models()
    assert models.column_names == [*MODELS_SCHEMA.names, "accuracy"]
    assert models["accuracy"].to_pylist() == [None, 0.75]


@pytest.mark.parametrize("columns", [None, ["layer_id", "extreme_filters"]])
def test_columns_that_older_versions_did_not_write_are_null(local_store: Store, columns: list[str] | None) -> None:
    write(local_store)
    write(local_store, OTHER_ID)

    def make_older(model_id: str) -> None:
        path = Path(local_store.uri) / "layers" / f"{model_id}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["extreme_filters"]), path)

    make_older(OTHER_ID)
    layers = local_store.layers(columns)
    assert layers.schema.field("extreme_filters").type == LAYERS_SCHEMA.field("extreme_filters").type
    known = layers["extreme_filters"].is_valid().to_pylist()
    assert known.count(True) == known.count(False) == len(build.weights())
    make_older(MODEL_ID)
    assert local_store.layers(columns)["extreme_filters"].null_count == 2 * len(build.weights())


def test_layers_schema_is_kept(local_store: Store) -> None:
    write(local_store)
    assert local_store.layers().schema.equals(LAYERS_SCHEMA)
    with pytest.raises(StoreError, match="no column 'colour'"):
        local_store.layers(["name", "colour"])
