"""Whole files of each published layout into a store: every filter, every label, and each refusal in one line."""

from __future__ import annotations

import logging
import lzma
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.synthetic_corpus import CATEGORIES, TASKS, CorpusPlan, Layout, frame_of, write_corpus, write_frame
from distributed import importing
from distributed.actor import outcome_of
from distributed.errors import SkipReason, SourceError
from distributed.extraction import extract_model
from distributed.outcomes import Outcome, OutcomeKind
from distributed.plan import Planner
from distributed.references import ModelReference
from distributed.settings import ExtractSettings, NonFinite, Retry
from distributed.sources import list_references
from distributed.sources.settings import CnnFilterDbSettings
from distributed.statistics import layer_statistics
from distributed.store import Store, StoreSettings
from tests.cli import extract
from tests.distributed.published.test_frame import unpacked

CPU = torch.device("cpu")


def import_here(path: Path, folder: Path, *, corrections: bool = True, **changes: Any) -> tuple[Store, list[Outcome]]:
    """Everything that is not there yet, without Ray."""
    store = Store.open(StoreSettings(str(folder)))
    store.prepare()
    settings = ExtractSettings(**changes)
    references = list_references(CnnFilterDbSettings(str(path), corrections=corrections))
    plan = Planner(store, settings.retry, settings.non_finite).plan(references)

    def work(each: ModelReference) -> Outcome:
        return outcome_of(each, lambda: extract_model(each, store, settings, CPU, folder))

    return store, [*plan.settled, *map(work, plan.to_extract)]


def filters_of(store: Store, model_id: str) -> np.ndarray:
    table = pq.read_table(store.filters_path(model_id))
    return np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)


def by_original(store: Store) -> dict[int, dict[str, Any]]:
    rows = store.models().to_pylist()
    return {int(dict(row["attributes"])["original_model_id"]): row for row in rows}


def refusal(path: Path, **changes: Any) -> str:
    with pytest.raises(SourceError) as caught:
        list_references(CnnFilterDbSettings(str(path), **changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("layout", "dtype", "square"),
    [
        (Layout.V0_1, "float32", False),
        (Layout.V0_1, ">f8", True),
        (Layout.V1_0, "float64", False),
        (Layout.V1_0, "float32", True),
        (Layout.ROBUSTNESS, "float64", True),
        (Layout.ROBUSTNESS, "float32", False),
    ],
)
def test_every_layout(layout: Layout, dtype: str, square: bool, tmp_path: Path) -> None:
    plan = CorpusPlan(16, (27, 64, 1000), layout, dtype, square, "filter" if square else "filters")
    path = write_corpus(tmp_path / "dataset.h5", plan)
    store, outcomes = import_here(path, tmp_path / "store")
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.EXTRACTED] * 16
    with h5py.File(path) as file:
        filters = file[plan.filters_name][...].reshape(-1, 9).astype(np.float32)
    found, layers = by_original(store), store.layers().to_pylist()
    assert sorted(found) == [3 * model + 1 for model in range(16)]
    for number, row in enumerate(found[model] for model in sorted(found)):
        mine = filters[number * 1091 : (number + 1) * 1091]
        np.testing.assert_array_equal(filters_of(store, row["model_id"]), mine)
        assert (row["num_filters"], row["total_filters"]) == (1091, 1191)
        assert row["share_3x3"] == 1091 / 1191
        assert dict(row["kernel_shapes"])["3x3"] == 1091
        assert row["task"] == TASKS[number % 11]
        assert row["visual_category"] == CATEGORIES[number % 16]
        attributes = dict(row["attributes"])
        assert attributes["producer"] == "pytorch 1.9"
        assert attributes["op_set"] == str(9 + number % 5)
        assert row["pretraining_dataset"] == ("imagenet" if number % 2 else None)
        if layout is Layout.ROBUSTNESS:
            assert attributes["Robust"] == str(number % 2 == 0)
            assert attributes["layer_depth"] == "0, 3, 6"
            assert row["architecture"] == "WideResNet-34-10"
        else:
            assert row["architecture"] == f"network{number}"
        for i, layer in enumerate(each for each in layers if each["model_id"] == row["model_id"]):
            start, stop = ((0, 27), (27, 91), (91, 1091))[i]
            of = mine[start:stop]
            assert (layer["conv_depth"], layer["conv_depth_norm"]) == (i, i / 2)
            assert layer["dtype"] == {">f8": "float64"}.get(dtype, dtype)
            channels = ((9, 3), (8, 8), (40, 25))[i] if layout is Layout.ROBUSTNESS else None
            assert (layer["out_channels"], layer["in_channels"]) == (channels or (None, None))
            shaped = torch.from_numpy(of.reshape(*(channels or (1, len(of))), 3, 3).copy())
            statistics = layer_statistics(shaped)
            assert layer["orthogonality"] == statistics.orthogonality
            assert layer["sparsity"] == statistics.sparsity
            np.testing.assert_array_equal(layer["scaled_gram"], statistics.scaled_gram)
    again, outcomes = import_here(path, tmp_path / "store")
    assert all(outcome.known for outcome in outcomes)
    assert again.model_ids() == store.model_ids()


def test_the_same_model_in_another_copy_is_the_same_model(tmp_path: Path) -> None:
    write_corpus(tmp_path / "one.h5", CorpusPlan(2, (27, 64), dtype="float32"))
    with h5py.File(tmp_path / "one.h5") as file:
        wide = file["filters"][...].astype(np.float64)
    write_frame(tmp_path / "two.h5", frame_of(CorpusPlan(2, (27, 64))))
    with h5py.File(tmp_path / "two.h5", "a") as file:
        file["filter"] = wide.reshape(-1, 3, 3)
    store, _ = import_here(tmp_path / "one.h5", tmp_path / "store")
    before = store.model_ids()
    _, outcomes = import_here(tmp_path / "two.h5", tmp_path / "store")
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ALREADY_THERE}
    assert store.model_ids() == before
    assert [outcome.bytes_read for outcome in outcomes] == [2 * 3 * 9 * 8] * 2, (
        "three filters of a layer tell the model"
    )


def test_layers_that_are_too_large_to_hold_are_read_in_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_corpus(tmp_path / "dataset.h5", CorpusPlan(1, (200_000, 150_000), dtype="float64"))
    whole, _ = import_here(path, tmp_path / "whole")
    monkeypatch.setattr(importing, "HELD_ROWS", 1000)
    pieces, _ = import_here(path, tmp_path / "pieces")
    assert pieces.layers().equals(whole.layers())
    [model_id] = whole.model_ids()
    assert pq.read_table(pieces.filters_path(model_id)).equals(pq.read_table(whole.filters_path(model_id)))


def test_corrections_are_applied_and_recorded(tmp_path: Path) -> None:
    plan = CorpusPlan(16, (30,), Layout.V0_1)
    frame = frame_of(plan)
    frame.loc[frame["model"] == "network6_dataset1_10", "model"] = "compnet_weights_sagittal_12"
    frame.loc[frame["model"] == "network8_dataset3_12", "Task"] = "Semantic Segmentation"
    path = tmp_path / "dataset.h5"
    write_frame(path, frame)
    with h5py.File(path, "a") as file:
        file["filters"] = np.random.default_rng(0).standard_normal((480, 9))
    store, _ = import_here(path, tmp_path / "store")
    rows = {row["name"]: row for row in store.models().to_pylist()}
    compnet, segmenting, fractal = (
        rows[name] for name in ("compnet_weights_sagittal_12", "network8_dataset3_12", "network4_dataset4_13")
    )
    assert (compnet["visual_category"], segmenting["task"], fractal["visual_category"]) == (
        "medical mri",
        "Segmentation",
        "fractals",
    )
    assert "'medical ct'" in dict(compnet["origins"])["visual_category"]
    assert "'formula'" in dict(fractal["origins"])["visual_category"]
    plain, _ = import_here(path, tmp_path / "plain", corrections=False)
    rows = {row["name"]: row for row in plain.models().to_pylist()}
    assert rows["compnet_weights_sagittal_12"]["visual_category"] == "medical ct"
    assert rows["network8_dataset3_12"]["task"] == "Semantic Segmentation"
    assert rows["network4_dataset4_13"]["visual_category"] == "formula"
    assert "corrected" not in str(rows["network4_dataset4_13"]["origins"])


@pytest.mark.parametrize("name", ["pandas1.1.4_v1.0.h5", "pandas1.1.4_robustness.h5", "pandas2.2.3_v1.0.h5"])
def test_a_file_of_an_old_pandas(name: str, tmp_path: Path) -> None:
    path = unpacked(name, tmp_path)
    filters = np.random.default_rng(1).standard_normal((45, 3, 3))
    with h5py.File(path, "a") as file:
        file["filters"] = filters
    store, outcomes = import_here(path, tmp_path / "store")
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.EXTRACTED] * 2
    row = by_original(store)[7]
    assert (row["name"], row["task"], row["num_layers_3x3"]) == ("bé", "Segmentation", 3)
    expected = filters.reshape(-1, 9)[18:].astype(np.float32)
    np.testing.assert_array_equal(filters_of(store, row["model_id"]), expected)


def test_side_data_is_named_and_not_imported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = write_corpus(tmp_path / "dataset.h5", CorpusPlan(1, (30,), Layout.ROBUSTNESS))
    list_references(CnnFilterDbSettings(str(path)))
    assert "scaled_filters, sparse_filter_ids" in caplog.text


def test_layers_that_are_not_finite(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "dataset.h5", CorpusPlan(2, (30, 40), dtype="float64"))
    with h5py.File(path, "a") as file:
        file["filters"][35, 4] = 1e300  # infinite in float32
    _, outcomes = import_here(path, tmp_path / "store")
    reasons = {outcome.reference.name: outcome.reason for outcome in outcomes}
    assert reasons == {"network0_dataset0_9": SkipReason.NON_FINITE, "network1_dataset1_10": None}
    store, outcomes = import_here(path, tmp_path / "rest", non_finite=NonFinite.leave_out, retry=Retry.none)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.EXTRACTED}
    row = by_original(store)[1]
    assert (row["num_filters"], row["num_layers_3x3"]) == (30, 1)
    assert "depth 1" in row["notes"][0]


def test_files_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "dataset.h5", CorpusPlan(4, (300, 400)))
    content = path.read_bytes()
    packed = tmp_path / "dataset.h5.xz"
    packed.write_bytes(lzma.compress(content))
    assert "xz -dk dataset.h5.xz" in refusal(packed)
    short = tmp_path / "short.h5"
    short.write_bytes(content[: len(content) // 2])
    assert "download it again" in refusal(short)
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    assert "no HDF5 file" in refusal(text)
    assert "no such file" in refusal(tmp_path / "none.h5").lower()
    for missing in ("meta", "filters"):
        without = tmp_path / f"without_{missing}.h5"
        without.write_bytes(content)
        with h5py.File(without, "a") as file:
            del file[missing]
        assert f"'{missing}'" in refusal(without)
        assert "is missing" in refusal(without)
    linked = tmp_path / "linked.h5"
    with h5py.File(linked, "w") as file:
        file["filters"] = h5py.ExternalLink("dataset.h5", "/filters")
        file["meta"] = h5py.ExternalLink("dataset.h5", "/meta")
    assert "link" in refusal(linked)
    for wrong in (np.zeros((10, 8)), np.zeros((10, 9), int), np.zeros((10, 3, 4))):
        with h5py.File(tmp_path / "dataset.h5", "a") as file:
            del file["filters"]
            file["filters"] = wrong
        assert "no 3x3 filters" in refusal(tmp_path / "dataset.h5")
    assert "no model is called" in refusal(write_corpus(tmp_path / "a.h5", CorpusPlan(1, (9,))), models=("nothing*",))


def test_contradictions_name_the_rows(tmp_path: Path) -> None:
    frame = frame_of(CorpusPlan(2, (30, 40))).reset_index()
    frame.loc[2, "filter_ids"] = "75:99"
    path = tmp_path / "dataset.h5"
    write_frame(path, frame.set_index(["model_id", "conv_depth", "conv_depth_norm"]))
    with h5py.File(path, "a") as file:
        file["filters"] = np.zeros((140, 9), np.float32)
    assert "70:74" in refusal(path)
    assert "row 2 (model_id 4, conv_depth 0)" in refusal(path)
    write_frame(path, pd.DataFrame({"filter_ids": ["0:139"]}))
    assert "column 'model_id' is missing" in refusal(path)


@pytest.mark.ray
def test_the_command(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "dataset.h5", CorpusPlan(5, (300, 400), Layout.V1_0, "float64"))
    overrides = ("source=cnn_filter_db", f"source.path={path}", f"store.uri={tmp_path / 'store'}")
    planned = extract(tmp_path, *overrides, "extract.dry_run=true", "extract.plan=exact")
    assert "to extract 5" in planned.stdout, planned.stderr
    done = extract(tmp_path, *overrides)
    assert "listed 5 = extracted 5" in done.stdout, done.stderr
    again = extract(tmp_path, *overrides)
    assert "already there 5" in again.stdout, again.stderr
    wrong = extract(tmp_path, "source=cnn_filter_db", f"source.path={tmp_path}/x.h5", f"store.uri={tmp_path / 'store'}")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
