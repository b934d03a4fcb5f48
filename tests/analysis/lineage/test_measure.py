"""Which models are one model: a family of a sample model, the real checkpoints, and stores that cannot tell."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.lineage.files import write
from analysis.lineage.measure import LineageResult, measure
from analysis.lineage.settings import LineageSettings
from analysis.lineage.terminal import show
from analysis.selection.axes import unit_codes
from analysis.selection.view import StoreView
from analysis.settings import Unit
from analysis.ties import lineages as lineages_module
from distributed.store import StoreSettings
from tests.checkpoints import real_models
from tests.families import family
from tests.stores import Model, sample_models, write_store


def measured(folder: Path, **settings: Any) -> LineageResult:
    return measure(LineageSettings(StoreSettings(str(folder)), **settings))


def ties(result: LineageResult) -> dict[frozenset[str], dict[str, Any]]:
    return {frozenset((row["model_a"], row["model_b"])): row for row in result.ties.to_pylist()}


@pytest.fixture(scope="module")
def relatives() -> list[Model]:
    return family()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, relatives: list[Model]) -> Path:
    return write_store(tmp_path_factory.mktemp("family") / "store", relatives)


@pytest.fixture(scope="module")
def found(store: Path) -> LineageResult:
    return measured(store)


@pytest.mark.parametrize(
    ("other", "tie", "equal"),
    [
        ("reupload", "same weights", 11),
        ("folded", "folded", 0),
        ("frozen half", "shared layers", 5),
        ("tuned", "descent", 0),
        ("averaged", "descent", 0),
        ("in half precision", "descent", 0),
        ("encoder of another", "descent", 0),
    ],
)
def test_each_relative_is_tied_to_the_base_by_what_it_is(
    found: LineageResult, other: str, tie: str, equal: int
) -> None:
    row = ties(found)[frozenset(("base", other))]
    assert (row["tie"], row["equal_layers"], row["lineage"]) == (tie, equal, "averaged")


def test_cosines_are_those_of_the_weights(found: LineageResult, relatives: list[Model]) -> None:
    weights = {model.name: [layer.weight.astype(np.float64) for layer in model.layers] for model in relatives}
    confirmed = 0
    for (a, b), row in ((sorted(pair), row) for pair, row in ties(found).items()):
        if "encoder of another" in (a, b) or row["tie"] == "folded":
            continue
        cosines = [
            (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()) for x, y in zip(weights[a], weights[b], strict=True)
        ]
        expected = sum(cosine for cosine in cosines if cosine >= 0.3) / len(cosines)
        exact = row["confirmed"]
        confirmed += exact
        assert row["cosine"] == pytest.approx(expected, abs=1e-6 if exact else 0.05), (a, b)
    assert confirmed >= 6


def test_a_stranger_of_the_same_architecture_is_its_own_lineage(found: LineageResult) -> None:
    assert not [pair for pair in ties(found) if "stranger" in pair]
    rows = {row["model"]: row for row in found.models.to_pylist()}
    assert (rows["stranger"]["lineage"], rows["stranger"]["models"]) == ("stranger", 1)
    assert {row["lineage"] for name, row in rows.items() if name != "stranger"} == {"averaged"}
    assert found.lineages == 2


def test_the_column_is_an_axis_a_condition_and_a_unit(store: Path, found: LineageResult) -> None:
    view = StoreView.open(StoreSettings(str(store)))
    assert set(view.select("lineage = 'averaged'").column("model_label").to_pylist()) == {
        row["model"] for row in found.models.to_pylist()
    } - {"stranger"}
    assert len(np.unique(unit_codes(view.flat, Unit.lineage))) == 2
    assert len(np.unique(unit_codes(view.flat, Unit.model))) == 10


def test_where_chooses_what_is_shown_and_leaves_lineages_as_they_are(store: Path) -> None:
    few = measured(store, where="model_label in ('folded', 'tuned again', 'stranger')")
    assert {row["lineage"] for row in few.models.to_pylist()} == {"averaged", "stranger"}
    assert set(ties(few)) <= {frozenset(("folded", "tuned again"))}


def test_what_is_kept_is_what_was_found_and_the_order_does_not_matter(
    relatives: list[Model], found: LineageResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_store(tmp_path / "store", relatives[::-1])
    first = measured(folder)
    assert first.ties.equals(found.ties)
    (kept,) = (folder / "sketches").glob("lineage-*.parquet")
    monkeypatch.setattr(lineages_module, "tied_pairs", lambda *_: pytest.fail("looked again"))
    assert measured(folder).ties.equals(first.ties)
    monkeypatch.undo()
    kept.write_bytes(b"damaged")
    assert measured(folder).ties.equals(first.ties)
    write_store(folder, sample_models()[:1])  # a store that grew is another
    assert measured(folder).extent.models == 11
    assert len(list((folder / "sketches").glob("lineage-*.parquet"))) == 2


def test_weights_that_cannot_be_read_leave_the_sketches_word_and_nothing_is_kept(
    relatives: list[Model], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_store(tmp_path / "store", relatives, with_filters=False)
    result = measured(folder)
    assert "descent is as sketches say" in caplog.text
    assert {row["model_b"] for row in result.ties.to_pylist() if row["confirmed"]} == {"reupload"}
    assert not (folder / "sketches").exists()


def test_an_older_store_says_what_it_cannot_see(relatives: list[Model], tmp_path: Path) -> None:
    folder = write_store(tmp_path / "store", relatives)
    for path in (folder / "layers").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["digest", "weight_sketch"]), path)
    result = measured(folder)
    assert {row["tie"] for row in result.ties.to_pylist()} == {"folded"}
    known = {row["model"]: row["lineage"] for row in result.models.to_pylist()}
    assert {name for name, lineage in known.items() if lineage} == {"base", "reupload", "folded"}
    assert any(note.startswith("not seen: 10 models extracted by an older version") for note in result.notes)


def test_constant_and_empty_layers_tie_nothing(tmp_path: Path) -> None:
    from tests.stores import chain

    generator = np.random.default_rng(0)
    alike = {"zeros": np.zeros((8, 8, 3, 3)), "ones": np.ones((4, 4, 3, 3)), "single": np.arange(9).reshape(1, 1, 3, 3)}
    models = [chain(name, alike | {"own": generator.normal(size=(16, 16, 3, 3))}) for name in ("one", "other")]
    assert not measured(write_store(tmp_path / "store", models)).ties.num_rows


def test_real_checkpoints_one_pair_of_formats_and_eight_apart(checkpoints: Path, tmp_path: Path) -> None:
    result = measured(write_store(tmp_path / "store", real_models(checkpoints)))
    (row,) = result.ties.to_pylist()
    assert (row["model_a"], row["model_b"], row["tie"]) == ("ulfg_rfb_320_onnx", "ulfg_rfb_320_pth", "same weights")
    assert (row["equal_layers"], row["confirmed"], result.lineages) == (28, True, 10)
    assert row["cosine"] == pytest.approx(1, abs=1e-6)


def test_files_and_terminal(found: LineageResult, tmp_path: Path) -> None:
    paths = write(found, tmp_path)
    assert {path.name for path in paths} == {
        *("ties.parquet", "ties.csv", "lineages.parquet", "lineages.csv", "lineage_tree.png", "lineage_cosines.png")
    }
    assert pq.read_table(tmp_path / "ties.parquet").select(["model_a"]).num_rows == found.ties.num_rows
    console = Console(record=True, width=120, file=io.StringIO())
    show(found, paths, console)
    said = console.export_text()
    assert all(each in said for each in ("frozen half", " of 11", "2 lineages, 30 ties"))
    assert "weights do not say which of two models came first" in said


def test_a_store_without_ties_has_tables_and_no_pictures(tmp_path: Path) -> None:
    result = measured(write_store(tmp_path / "store", sample_models()))
    out = tmp_path / "out"
    out.mkdir()
    assert [path.suffix for path in write(result, out)] == [".parquet", ".csv"] * 2
    assert (result.ties.num_rows, result.lineages) == (0, 7)
    assert pa.types.is_string(result.ties.schema.field("tie").type)
