"""A store as HDF5 and back: equal to the last bit; and the notebook of the data set's authors on the exported file."""

from __future__ import annotations

import itertools
import os
import pickletools
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.stats
import torch
from sklearn.decomposition import PCA

from analysis import api
from analysis.export import ExportSettings, export
from analysis.export.settings import Format
from benchmarks.synthetic_corpus import CorpusPlan, Layout, write_corpus
from distributed.errors import UserError
from distributed.extraction import extract_model
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import LocalSettings, SampleSettings, SourceSettings
from distributed.store import Store, StoreSettings
from tests.distributed.published.test_import import filters_of, import_here

#: What two runs, and two sources, cannot have in common.
_OF_THE_RUN = {
    *("model_id", "source", "uri", "revision", "file", "format", "sha256", "reference_key", "origins", "attributes"),
    *("notes", "bytes_read", "bytes_total", "extracted_at", "layer_id"),
}


def to_hdf5(store: Store | Path, path: Path, **changes: Any) -> Path:
    uri = str(store) if isinstance(store, Path) else store.uri
    export(ExportSettings(StoreSettings(uri), out=str(path), format=Format.cnn_filter_db, **changes))
    return path


def extracted(source: SourceSettings, folder: Path) -> Store:
    store = Store.open(StoreSettings(str(folder)))
    store.prepare()
    for each in list_references(source):
        extract_model(each, store, ExtractSettings(), torch.device("cpu"), folder)
    return store


def rows_by_name(store: Store) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in store.models().to_pylist()}


def assert_same(before: Store, after: Store) -> None:
    """The same models, layers and filters; ids are those of their sources."""
    ours, theirs = rows_by_name(before), rows_by_name(after)
    assert ours.keys() == theirs.keys()
    layers = {store.uri: store.layers().to_pylist() for store in (before, after)}
    for name, row in ours.items():
        other = theirs[name]
        assert {k: v for k, v in row.items() if k not in _OF_THE_RUN} == {
            k: v for k, v in other.items() if k not in _OF_THE_RUN
        }
        np.testing.assert_array_equal(filters_of(before, row["model_id"]), filters_of(after, other["model_id"]))
        mine = [each for each in layers[before.uri] if each["model_id"] == row["model_id"]]
        found = [each for each in layers[after.uri] if each["model_id"] == other["model_id"]]
        for one, two in zip(mine, found, strict=True):
            assert {k: v for k, v in one.items() if k not in _OF_THE_RUN} == {
                k: v for k, v in two.items() if k not in _OF_THE_RUN
            }


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return extracted(SampleSettings(), tmp_path_factory.mktemp("samples"))


def test_the_samples_come_back_as_they_were(samples: Store, tmp_path: Path) -> None:
    path = to_hdf5(samples, tmp_path / "dataset.h5")
    back, _ = import_here(path, tmp_path / "back", corrections=False)
    assert_same(samples, back)


def test_the_real_checkpoints_come_back_as_they_were(checkpoints: Path, tmp_path: Path) -> None:
    store = extracted(LocalSettings(str(checkpoints), models=("*resnet*", "ulfg_rfb*", "*wnet*")), tmp_path / "store")
    back, _ = import_here(to_hdf5(store, tmp_path / "dataset.h5"), tmp_path / "back", corrections=False)
    assert_same(store, back)


@pytest.mark.parametrize("layout", list(Layout))
def test_a_corpus_goes_in_and_out_unchanged(layout: Layout, tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "in.h5", CorpusPlan(14, (27, 64, 1000), layout))
    store, _ = import_here(path, tmp_path / "store")
    out = to_hdf5(store, tmp_path / "out.h5")
    with h5py.File(path) as before, h5py.File(out) as after:
        np.testing.assert_array_equal(before["filters"][...], after["filters"][...])
    old, new = pd.read_hdf(path, "meta"), pd.read_hdf(out, "meta")
    assert old.index.equals(new.index)
    assert old.index.names == new.index.names
    differing = {"Task", "Visual Category", "Datatype"}  # corrected, and named as today
    differing |= {"layer_depth", "Robust Accuracy"}  # one text a model; numbers that were texts

    def values(frame: pd.DataFrame, column: str) -> list[object]:
        # A count of none is no count.
        return [None if pd.isna(value) or value == 0 else value for value in frame[column]]

    for column in set(old) - differing:
        mine = values(old, column)
        assert mine == (values(new, column) if column in new else [None] * len(old)), column
    back, outcomes = import_here(out, tmp_path / "store")
    assert all(outcome.known or outcome.model_id in store.model_ids() for outcome in outcomes)
    assert back.model_ids() == store.model_ids()


def test_a_file_for_every_pandas(samples: Store, tmp_path: Path) -> None:
    """NumPy before 2.0 has no ``numpy._core``; no protocol that Python 3.8 lacks."""
    with h5py.File(to_hdf5(samples, tmp_path / "dataset.h5")) as file:
        blocks = [node[0].tobytes() for name, node in file["meta"].items() if node.dtype.kind == "O"]
    assert blocks
    for block in blocks:
        opcodes = list(pickletools.genops(block))
        names = {argument for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}
        assert names <= {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}
        assert max(opcode.proto for opcode, *_ in opcodes) <= 2


# The cells of main.ipynb, by which the paper's figures were made, as they are but for float16 and progress bars.


def notebook(dataset_path: Path, grouping: str) -> tuple[list[str], np.ndarray]:
    with h5py.File(dataset_path, "r") as f:
        dX = f["filters"][...].reshape(-1, 9)  # noqa: N806
    df_meta = pd.read_hdf(dataset_path, "meta")
    df_meta["filter_ids"] = df_meta["filter_ids"].apply(
        lambda s: list(np.arange(int(s.split(":")[0]), 1 + int(s.split(":")[1])))
    )
    df_meta["Task"] = df_meta["Task"].apply(lambda s: "Segmentation" if "Segmentation" in s else s)
    den = np.abs(dX).max(axis=1)
    den = np.where(den == 0, 1, den)[:, None]
    pca = PCA(n_components=9)
    dX_n = pca.fit_transform((dX / den).astype(np.float64))  # noqa: N806
    dX_n_range = (dX_n.min(), dX_n.max())  # noqa: N806
    if grouping == "depth":
        by: Any = pd.cut(
            df_meta.index.get_level_values("conv_depth_norm"), np.arange(0, 1.0 + 0.10, 0.10), include_lowest=True
        )
    else:
        by = grouping
    groups = df_meta.groupby(by, observed=True).filter_ids.apply(lambda x: dX_n[np.hstack(x)].T)

    def distribution(data: np.ndarray) -> np.ndarray:
        v, _ = np.histogram(data, range=dX_n_range, bins=70, density=True)
        v[v == 0] = np.finfo(np.float32).eps
        return v / np.sum(v)

    found = [[distribution(x) for x in group] for group in groups.values]
    matrix = np.zeros((len(found), len(found)))
    for p, q in itertools.product(range(len(found)), repeat=2):
        matrix[p, q] = sum(
            weight * (scipy.stats.entropy(a, b) + scipy.stats.entropy(b, a))
            for weight, a, b in zip(pca.explained_variance_ratio_, found[p], found[q], strict=True)
        )
    return [str(name) for name in groups.index], matrix


@pytest.mark.parametrize("axis", ["task", "visual_category", "depth"])
def test_the_notebook_on_our_file_gives_our_drifts(axis: str, samples: Store, tmp_path: Path) -> None:
    path = to_hdf5(samples, tmp_path / "dataset.h5")
    grouping = {"task": "Task", "visual_category": "Visual Category", "depth": "depth"}[axis]
    names, theirs = notebook(path, grouping)
    pairs = api.shift(samples.uri, axis, replicates=0)
    ours = {(row.a, row.b): row.drift for row in pairs.itertuples()}
    known = list(dict.fromkeys(pairs["a"])) if axis != "depth" else sorted(set(pairs["a"]), key=lambda n: float(n[1:4]))
    if axis == "depth":
        names = known
    assert len(names) == len(theirs) > 2
    expected = {
        (a, b): theirs[i, j] for (i, a), (j, b) in itertools.product(enumerate(names), repeat=2) if (a, b) in ours
    }
    assert len(expected) >= len(names) * (len(names) - 1) / 2
    for pair, drift in expected.items():
        assert ours[pair] == pytest.approx(drift, rel=2e-3, abs=1e-5), pair


def test_what_the_export_did_not_write_stays(samples: Store, tmp_path: Path) -> None:
    foreign = write_corpus(tmp_path / "dataset.h5", CorpusPlan(1, (30,)))
    content = foreign.read_bytes()
    with pytest.raises(UserError, match="not an earlier export"):
        to_hdf5(samples, foreign)
    assert foreign.read_bytes() == content
    path = to_hdf5(samples, tmp_path / "ours.h5")
    changed = path.stat().st_mtime_ns
    to_hdf5(samples, path, where="task = 'Segmentation'")
    assert path.stat().st_mtime_ns != changed
    assert sorted(os.listdir(tmp_path)) == ["dataset.h5", "ours.h5"]


def test_a_broken_store_leaves_nothing(samples: Store, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    export(ExportSettings(samples.settings, out=str(folder)))
    victim = sorted((folder / "filters").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(UserError):
        to_hdf5(folder, tmp_path / "dataset.h5")
    assert os.listdir(tmp_path) == ["store"]


def test_without_the_extra_it_says_what_to_install(
    samples: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tables", None)
    with pytest.raises(UserError, match=r"pip install 'cnn-filter-shift\[hdf5\]'"):
        to_hdf5(samples, tmp_path / "dataset.h5")


def test_filters_of_one_model_only(samples: Store, tmp_path: Path) -> None:
    name = sorted(rows_by_name(samples))[0]
    path = to_hdf5(samples, tmp_path / "one.h5", where=f"name = '{name}' and conv_depth > 0")
    with h5py.File(path) as file:
        found = file["filters"][...]
    row = rows_by_name(samples)[name]
    np.testing.assert_array_equal(found, filters_of(samples, row["model_id"]))
    assert pq.read_metadata(samples.filters_path(row["model_id"])).num_rows == len(found)
