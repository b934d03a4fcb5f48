"""A store on S3, scanned by threads: what a laptop does with a small store in a bucket."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from analysis.scanning.sketching import ScanOptions, sketch_of_store
from analysis.scanning.thread_workers import ThreadWorkers
from distributed.errors import StoreError
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.analysis.scanning.stores import MadeStore, make_store
from tests.analysis.scanning.test_scan import expected_counts
from tests.s3 import S3Server, s3_server
from tests.s3_proxy import Rules, proxy

__all__ = ["s3_server"]

BY_THREADS = ScanOptions(workers=lambda _: nullcontext(ThreadWorkers(2)))


@pytest.fixture
def uploaded(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MadeStore, Store]:
    """The same store on disk and in a bucket."""
    made = make_store(tmp_path, [[4000, 300], [9] * 20, [2500]], row_group=512)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"scan-{tmp_path.name.replace('_', '-')}"[:60].strip("-")
    s3_server.make_bucket(bucket)
    for file in (tmp_path / "filters").iterdir():
        s3_server.client().put_object(Bucket=bucket, Key=f"filters/{file.name}", Body=file.read_bytes())
    return made, Store.open(StoreSettings(f"s3://{bucket}", endpoint_url=s3_server.endpoint_url))


def test_threads_read_a_bucket(uploaded: tuple[MadeStore, Store]) -> None:
    made, store = uploaded
    sketch = sketch_of_store(store, made.layers, options=BY_THREADS)
    for layer, counts in expected_counts(made, sketch.basis).items():
        np.testing.assert_array_equal(sketch.counts[int(sketch.rows_of(np.array([layer]))[0])], counts)
    again = sketch_of_store(store, made.layers, options=BY_THREADS)
    assert again.origin is not None
    assert not again.origin.scanned  # its sketch is kept in the bucket


def test_an_object_that_is_missing_is_named(uploaded: tuple[MadeStore, Store], s3_server: S3Server) -> None:
    made, store = uploaded
    gone = store.filters_path(made.model_ids[1])
    bucket, key = gone.split("/", 1)
    s3_server.client().delete_object(Bucket=bucket, Key=key)
    with pytest.raises(StoreError, match=gone):
        sketch_of_store(store, made.layers, options=BY_THREADS)


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [
        (r"GET .*\.basis\.json", r"cannot read \S+\.basis\.json: .*; it is made again"),
        (r"GET .*/sketches/\w+/\w+\.parquet", r"cannot read \S+/sketches/\w+/\w+\.parquet: .*; its models are scanned"),
        (r"GET .*prefix=sketches", r"cannot read \S+/sketches/\w+: .*; all models are scanned again"),
    ],
)
def test_what_may_not_be_read_of_a_kept_sketch_is_made_again(
    uploaded: tuple[MadeStore, Store], s3_server: S3Server, forbidden: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    made, store = uploaded
    first = sketch_of_store(store, made.layers, options=BY_THREADS)
    with proxy(s3_server, Rules(forbid=forbidden)) as endpoint:
        behind = Store.open(StoreSettings(store.uri, endpoint_url=endpoint))
        again = sketch_of_store(behind, made.layers, options=BY_THREADS)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert re.search(said, warning)
    assert "\n" not in warning
    assert again.origin is not None
    assert again.origin.scanned
    np.testing.assert_array_equal(again.counts, first.counts)
