"""Exports that are folders: sketch stores give the same numbers, data sets and tables the same values; places taken."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml

from analysis import api
from analysis.export import ExportSettings, export
from analysis.export.__main__ import main
from analysis.export.hub_dataset import _size_category, write_shards
from analysis.export.measure import measure
from analysis.export.settings import Format, Level
from distributed.errors import StoreError, UserError
from distributed.records import FILTERS_SCHEMA
from distributed.store import Store, StoreSettings
from tests.cli import called
from tests.stores import sample_models, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = sample_models()
    models[0].columns["license"], models[1].columns["license"] = "mit", "a|b\n<c>"
    models[2].columns["paper"] = "arXiv:2201.08465"
    return write_store(tmp_path_factory.mktemp("export") / "store", models)


def exported(store: Path, out: Path, **changes: Any) -> Path:
    export(ExportSettings(StoreSettings(str(store)), out=str(out), **changes))
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_filters(store: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((store / "filters").iterdir()))


MEASURES: list[Callable[[Path], pd.DataFrame]] = [
    lambda store: api.shift(store, ("task", "visual_category", "depth", "model", "layer"), replicates=50),
    lambda store: api.shift(store, "task", where="conv_depth > 0", divergence="wasserstein", weight="models"),
    lambda store: api.structure(store, ("task", "depth")),
    lambda store: api.coefficients(store, ("task", "model")),
    lambda store: api.quality(store, ("task", "visual_category")),
    lambda store: api.quality_by_group(store, ("task", "depth")),
    lambda store: api.layers(store),
    lambda store: api.models(store),
]


@pytest.mark.parametrize("measured", MEASURES)
def test_a_sketch_store_gives_the_same_numbers_to_the_last_bit(
    measured: Callable[[Path], pd.DataFrame], store: Path, tmp_path: Path
) -> None:
    sketch = exported(store, tmp_path / "sketch", level=Level.sketch)
    assert not (sketch / "filters").exists()
    pd.testing.assert_frame_equal(measured(sketch), measured(store), check_exact=True)


def test_a_sketch_store_of_some_models_is_one_of_them_alone(store: Path, tmp_path: Path) -> None:
    where = "task <> 'Denoising'"
    alone = exported(store, tmp_path / "alone", where=where)
    sketch = exported(store, tmp_path / "sketch", where=where, level=Level.sketch)
    pd.testing.assert_frame_equal(api.shift(sketch, "task"), api.shift(alone, "task"), check_exact=True)
    assert len(api.models(sketch)) == 5


@pytest.mark.parametrize("level", [Level.sketch, Level.tables])
def test_where_filters_are_needed_a_store_without_says_so(level: Level, store: Path, tmp_path: Path) -> None:
    without = exported(store, tmp_path / "without", level=level)
    needing: list[Callable[[], object]] = [
        lambda: api.filters(without),
        lambda: api.shift(without, "task", bins=30),
        lambda: exported(without, tmp_path / "again"),
        lambda: exported(without, tmp_path / "again.h5", format=Format.cnn_filter_db),
        lambda: exported(without, tmp_path / "again", format=Format.huggingface),
    ]
    if level is Level.tables:
        needing.append(lambda: api.shift(without, "task"))
    for call in needing:
        with pytest.raises(StoreError, match="filters") as caught:
            call()
        assert "exported" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["without"]
    again = exported(without, tmp_path / "tables", level=level)
    assert len(api.quality(again)) == len(api.quality(store))


def test_a_whole_store_is_copied_byte_for_byte(store: Path, tmp_path: Path) -> None:
    copy = contents(exported(store, tmp_path / "copy"))
    original = {name: data for name, data in contents(store).items() if not name.startswith(("sketches", "."))}
    assert {name: data for name, data in copy.items() if not name.startswith(".")} == original


@pytest.mark.parametrize("kind", [Format.csv, Format.arrow])
def test_tables(kind: Format, store: Path, tmp_path: Path) -> None:
    folder = exported(store, tmp_path / "tables", format=kind)

    def read(name: str) -> pa.Table:
        path = folder / f"{name}.{kind}"
        return pacsv.read_csv(path) if kind is Format.csv else pa.ipc.open_file(path).read_all()

    filters = read("filters")
    expected = all_filters(store)
    assert filters["layer_id"].to_pylist() == expected["layer_id"].to_pylist()
    for i in range(9):
        found = filters[f"w{i}"].to_numpy().astype(np.float32)
        np.testing.assert_array_equal(found, expected[f"w{i}"].to_numpy())
    opened = Store.open(StoreSettings(str(store)))
    assert read("models")["name"].to_pylist() == opened.models()["name"].to_pylist()
    moments = read("layers")["scaled_gram"].to_pylist()
    moments = [json.loads(text) for text in moments] if kind is Format.csv else moments
    assert moments == opened.layers()["scaled_gram"].to_pylist()
    sketch = exported(store, tmp_path / "sketch", format=kind, level=Level.sketch)
    assert {"histograms." + kind, "basis.json"} <= set(os.listdir(sketch))


def test_a_data_set_for_the_hub(store: Path, tmp_path: Path) -> None:
    folder = exported(store, tmp_path / "dataset", format=Format.huggingface, version="2.1.0")
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    configs = {each["config_name"]: each["data_files"][0]["path"] for each in front["configs"]}
    assert set(configs) == {"filters", "models", "layers"}
    for path in configs.values():
        assert list(folder.glob(path)), path
    expected = all_filters(store)
    found = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob(configs["filters"])))
    assert found.sort_by("layer_id").equals(expected.sort_by("layer_id").cast(FILTERS_SCHEMA))
    assert front["license"] == "other"
    for said in ("Version 2.1.0", "| mit | 1 |", "a\\|b &lt;c>", "| Classification | 3 |", "2203.15331", "`w8`"):
        assert said in card, said
    only = exported(store, tmp_path / "one", format=Format.huggingface, where="license = 'mit'", level=Level.sketch)
    assert yaml.safe_load((only / "README.md").read_text().split("---\n")[1])["license"] == "mit"
    assert not list((only / "data").glob("filters*"))


@pytest.mark.parametrize("rows", [1, 7, 500, 10**6])
def test_shards(rows: int, store: Path, tmp_path: Path) -> None:
    chosen = measure(ExportSettings(StoreSettings(str(store)), out="x", where="name = 'alpha'"))
    total = chosen.extent.filters
    write_shards(chosen, tmp_path, rows) if total // rows < 900 else None
    shards = sorted(tmp_path.iterdir())
    if shards:
        sizes = [pq.read_metadata(path).num_rows for path in shards]
        assert sizes == [rows] * (total // rows) + ([total % rows] if total % rows else [])
        assert [path.name for path in shards][-1] == f"filters-{len(shards) - 1:05}-of-{len(shards):05}.parquet"
        both = pa.concat_tables(map(pq.read_table, shards))
        assert both["w3"].to_pylist() == pa.Table.from_batches(chosen.filters(chosen.model_ids[0]))["w3"].to_pylist()


@pytest.mark.parametrize(
    ("rows", "said"), [(5, "n<1K"), (1_000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (1_464_797_156, "1B<n<10B")]
)
def test_sizes_in_the_words_of_the_hub(rows: int, said: str) -> None:
    assert _size_category(rows) == said


def test_places_that_are_taken(store: Path, tmp_path: Path) -> None:
    ours = exported(store, tmp_path / "ours", level=Level.sketch)
    exported(store, ours, level=Level.tables)
    assert not (ours / "sketches").exists()
    (ours / "mine.txt").write_text("kept")
    before = contents(ours)
    with pytest.raises(UserError, match=r"mine\.txt"):
        exported(store, ours)
    assert contents(ours) == before
    with pytest.raises(UserError, match="no export wrote"):
        exported(store, store)
    file = tmp_path / "file"
    file.write_text("kept")
    with pytest.raises(UserError, match="is a file"):
        exported(store, file)
    (tmp_path / "empty").mkdir()
    exported(store, tmp_path / "empty", format=Format.csv)
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "ours"]


def test_the_command(store: Path, tmp_path: Path) -> None:
    said = called(main, f"store.uri={store}", "level=sketch", "out=sketch", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "exported 7 models, 28 layers" in said.stdout
    assert "a layer" in said.stdout
    for wrong in (
        ["out=x", "format=cnn_filter_db", "level=tables"],
        ["out=s3://bucket/x"],
        ["out=x", "where=task ="],
        ["out=x", "format=hdf5"],
        [],
    ):
        said = called(main, f"store.uri={store}", *wrong, cwd=tmp_path)
        assert (said.returncode, said.stdout, said.stderr.count("\n")) == (2, "", 1), said
    assert os.listdir(tmp_path) == ["sketch"]
