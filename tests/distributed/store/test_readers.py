"""Any Parquet reader sees the three tables as they are (DESIGN §3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, MODELS_SCHEMA
from distributed.references import layer_id_of
from distributed.store import Store, StoreSettings
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID, OTHER_ID
from tests.s3 import S3Server

FILTERS = 2 * (12 + 32 + 8)
#: Σ w4 over both models, from the arrays that were written.
CENTRES = float(sum(w[..., 1, 1].astype(np.float64).sum() for seed in (0, 1) for w in build.weights(seed)))


@pytest.fixture
def filled(local_store: Store) -> Path:
    _fill(local_store)
    return Path(local_store.uri)


def _fill(store: Store) -> None:
    for seed, model_id in enumerate((MODEL_ID, OTHER_ID)):
        layers = build.weights(seed)
        store.write_model(model_id, build.batches(model_id, layers), build.finish(model_id, layers))
    store.write_skip(build.reject())


def test_duckdb(filled: Path) -> None:
    import duckdb

    ((rows, centres),) = duckdb.sql(f"select count(*), sum(w4::double) from '{filled}/filters/*.parquet'").fetchall()
    assert rows == FILTERS
    assert centres == pytest.approx(CENTRES, rel=1e-12)
    joined = duckdb.sql(
        f"""select m.task, map_from_entries(m.kernel_shapes)['3x3'] as n, sum(l.num_filters), max(len(l.scaled_gram))
        from '{filled}/models/*.parquet' m join '{filled}/layers/*.parquet' l using (model_id) group by all"""
    ).fetchall()
    assert joined == [("Segmentation", 52, FILTERS, 45)]
    ((when,),) = duckdb.sql(f"select distinct epoch_ms(extracted_at) from '{filled}/models/*.parquet'").fetchall()
    assert when == 1795437015250


def test_polars(filled: Path) -> None:
    import polars as pl

    filters = pl.read_parquet(filled / "filters" / "*.parquet")
    assert filters.columns == FILTERS_SCHEMA.names
    assert filters["w4"].cast(pl.Float64).sum() == pytest.approx(CENTRES, rel=1e-12)
    layers = pl.scan_parquet(filled / "layers" / "*.parquet").collect()
    assert layers.columns == LAYERS_SCHEMA.names
    assert layers["scaled_gram"].to_numpy().shape == (6, 45)
    models = pl.read_parquet(filled / "models" / "*.parquet")
    assert models.columns == MODELS_SCHEMA.names
    assert models["kernel_shapes"].to_list()[0] in ([{"key": "3x3", "value": 52}], {"3x3": 52})


def test_pandas(filled: Path) -> None:
    import pandas as pd

    filters = pd.read_parquet(filled / "filters")
    assert list(filters.columns) == FILTERS_SCHEMA.names
    assert filters["w4"].dtype == np.float32
    assert filters["w4"].astype("float64").sum() == pytest.approx(CENTRES, rel=1e-12)
    layers = pd.read_parquet(filled / "layers")
    assert np.stack(layers["scaled_sum"]).shape == (6, 9)
    models = pd.read_parquet(filled / "models")
    assert list(models.columns) == MODELS_SCHEMA.names
    assert list(models["kernel_shapes"][0]) == [{"key": "3x3", "value": 52}]
    assert sorted(models["model_id"]) == sorted([MODEL_ID, OTHER_ID])


def test_pyarrow_dataset_skips_row_groups_by_layer(filled: Path) -> None:
    import pyarrow.dataset as ds

    wanted = layer_id_of(OTHER_ID, 1)
    dataset = ds.dataset(filled / "filters", format="parquet")
    assert dataset.to_table(filter=ds.field("layer_id") == wanted).num_rows == 32
    fragments = [f for f in dataset.get_fragments() if f.split_by_row_group(ds.field("layer_id") == wanted)]
    assert len(fragments) == 1


@pytest.mark.ray
def test_ray_data(filled: Path, local_ray: None) -> None:
    import ray

    filters = ray.data.read_parquet(str(filled / "filters")).take_all()
    assert len(filters) == FILTERS
    assert list(filters[0]) == FILTERS_SCHEMA.names
    assert sum(row["w4"] for row in filters) == pytest.approx(CENTRES, rel=1e-5)
    layers = ray.data.read_parquet(str(filled / "layers")).take_all()
    assert np.stack([row["scaled_gram"] for row in layers]).shape == (6, 45)
    models = ray.data.read_parquet(str(filled / "models")).take_all()
    assert list(models[0]) == MODELS_SCHEMA.names
    assert {row["model_id"] for row in models} == {MODEL_ID, OTHER_ID}


@pytest.mark.ray
def test_a_store_in_a_ray_task(filled: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder means the driver's folder, wherever the task runs."""
    import ray

    monkeypatch.chdir(filled.parent)
    store = Store.open(StoreSettings(filled.name))
    found = ray.get(ray.remote(lambda s: sorted(s.model_ids())).remote(store))
    assert found == sorted([MODEL_ID, OTHER_ID])
    again = ray.get(ray.remote(lambda s: sorted(Store.open(s).model_ids())).remote(store.settings))
    assert again == found


def test_s3_by_other_readers(s3_store: Store, s3_server: S3Server, bucket: str) -> None:
    """The store's own file system, pyarrow by path, and Ray Data's argument are one and the same."""
    _fill(s3_store)
    paths = [s3_store.filters_path(model_id) for model_id in (MODEL_ID, OTHER_ID)]
    assert paths == [f"{bucket}/some/prefix/filters/{i}.parquet" for i in (MODEL_ID, OTHER_ID)]
    table = pq.read_table(f"{bucket}/some/prefix/filters", filesystem=s3_store.arrow_filesystem())
    assert table.num_rows == FILTERS
