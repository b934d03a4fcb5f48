"""What is known by field, the template, and labels written into the store."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.command import carry_out
from analysis.labels import LabelsSettings, measure_labels
from analysis.labels.__main__ import main, steps
from distributed.errors import UserError
from distributed.store import Store, StoreSettings
from tests.cli import called
from tests.stores import sample_models, write_store


@pytest.fixture
def store(tmp_path: Path) -> StoreSettings:
    models = sample_models()
    for model in models:
        model.columns["origins"] = {"task": "manifest.yaml"}
    models[0].columns |= {"attributes": {"lab": "A"}, "resolution": 224}
    models[0].columns["origins"] |= {"lab": "manifest.yaml"}
    return StoreSettings(str(write_store(tmp_path / "store", models)))


def bytes_of(store: StoreSettings) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(store.uri).rglob("*.parquet")}


def run(store: StoreSettings, folder: Path, **more: object) -> None:
    settings = LabelsSettings(store, out=str(folder / "out"), **more)  # type: ignore[arg-type]
    assert carry_out(steps(), settings) == 0


def test_known_and_unknown_with_origins(store: StoreSettings, tmp_path: Path) -> None:
    run(store, tmp_path)
    fields = {row.pop("field"): row for row in pq.read_table(tmp_path / "out" / "fields.parquet").to_pylist()}
    assert fields["task"] == {"known": 7, "unknown": 0, "values": 3, "origins": "manifest.yaml 7"}
    assert fields["visual_category"] == {"known": 6, "unknown": 1, "values": 3, "origins": "not said 6"}
    assert fields["lab"] == {"known": 1, "unknown": 6, "values": 1, "origins": "manifest.yaml 1"}
    assert fields["recipe"] == {"known": 0, "unknown": 7, "values": 0, "origins": ""}
    rows = pq.read_table(tmp_path / "out" / "models.parquet").to_pylist()
    assert len(rows) == 7 * len(fields)
    assert {"alpha"} == {row["name"] for row in rows if row["field"] == "resolution" and row["value"] == "224"}
    only = measure_labels(LabelsSettings(store, where="task = 'Denoising'"))
    assert set(only.fields.column("known").to_pylist()) == {0, 1, 2}


def test_a_template_says_what_is_known_and_nothing_new(store: StoreSettings, tmp_path: Path) -> None:
    before, template = bytes_of(store), tmp_path / "labels.csv"
    run(store, tmp_path, template=str(template))
    with template.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"]: row["lab"] for row in rows if row["lab"]} == {"alpha": "A"}
    result = measure_labels(LabelsSettings(store, labels=str(template)))
    assert (result.changed, result.label_notes) == ({}, ())
    run(store, tmp_path, labels=str(template), save=True)
    assert bytes_of(store) == before
    with pytest.raises(UserError, match=r"labels.csv is there already, and may have been edited"):
        measure_labels(LabelsSettings(store, template=str(template)))


def test_saved_labels_are_everyones(store: StoreSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "mine.csv"
    labels.write_text("name,task,lab,training_dataset\nt*,Deblurring,B,\nalpha,null,null,\nbeta,,,CelebA\n")
    before = bytes_of(store)
    run(store, tmp_path, labels=str(labels))
    assert "labels of 4 models differ from the store's; save=true writes them" in capsys.readouterr().out
    assert bytes_of(store) == before
    run(store, tmp_path, labels=str(labels), save=True)
    assert "labels of 4 models were written into the store" in capsys.readouterr().out
    after = bytes_of(store)
    changed = {path for path in before if before[path] != after[path]}
    assert len(changed) == 4
    assert all("/models/" in path for path in changed)
    rows = [dict(row, origins=dict(row["origins"])) for row in Store.open(store).models().to_pylist()]
    twins = [row for row in rows if row["name"] == "twin"]
    assert [(row["task"], dict(row["attributes"])) for row in twins] == [("Deblurring", {"lab": "B"})] * 2
    assert twins[0]["origins"] == {"task": "mine.csv", "lab": "mine.csv"}
    (alpha,) = (row for row in rows if row["name"] == "alpha")
    assert (alpha["task"], alpha["attributes"], alpha["origins"]) == (None, None, {})
    assert alpha["resolution"] == 224
    (beta,) = (row for row in rows if row["name"] == "beta")
    assert (beta["training_dataset"], beta["visual_category"]) == ("CelebA", "faces")
    assert measure_labels(LabelsSettings(store, labels=str(labels))).changed == {}


def test_wrong_settings_are_one_line(store: StoreSettings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give them by labels=FILE"):
        LabelsSettings(store, save=True)
    with pytest.raises(UserError, match=r"ends with .csv"):
        LabelsSettings(store, template="labels.yaml")
    refused = called(main, f"store.uri={store.uri}", "labels=none.csv", cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "labels=none.csv: cannot be read" in refused.stderr
    told = called(main, f"store.uri={store.uri}", cwd=tmp_path)
    assert (told.returncode, "What is known about the models" in told.stdout) == (0, True)
