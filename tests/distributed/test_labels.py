"""Corrected labels of models that are in the store, and several names of one content."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from distributed.actor import outcome_of
from distributed.driver import extract
from distributed.extraction import extract_model
from distributed.label_files import LabelFile, LabelRow
from distributed.labels import label_changes, labelled, relabelled, same_content_told
from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import FileReference, ModelMetadata, ModelReference
from distributed.report import RunReport
from distributed.settings import ExtractionRun, ExtractSettings
from distributed.sources import list_references
from distributed.sources.completing import completed
from distributed.sources.contents import Listing
from distributed.sources.settings import LocalSettings
from distributed.store import Store, StoreSettings

LABELS = {"task": "Classification", "license": "MIT", "training_dataset": "CIFAR-10"}


def write_manifest(folder: Path, **models: dict[str, str]) -> None:
    entries = [{"file": f"{name}.pt", **labels} for name, labels in models.items()]
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"models": entries}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One model with a manifest, extracted into ``store``."""
    torch.manual_seed(0)
    torch.save({"conv.weight": torch.randn(8, 3, 3, 3)}, tmp_path / "net.pt")
    write_manifest(tmp_path, net=LABELS)
    for outcome in extracted(tmp_path):
        assert outcome.kind is OutcomeKind.EXTRACTED
    return tmp_path


def extracted(folder: Path) -> list[Outcome]:
    """Every model of a folder extracted, without Ray."""
    store = Store.open(StoreSettings(str(folder / "store")))
    store.prepare()
    return [
        outcome_of(
            reference,
            lambda reference=reference: extract_model(  # type: ignore[misc]
                reference, store, ExtractSettings(), torch.device("cpu"), folder
            ),
        )
        for reference in list_references(LocalSettings(str(folder)))
    ]


def run(folder: Path, capsys: pytest.CaptureFixture[str], **settings: object) -> list[str]:
    """What a whole run says; nothing is to be extracted, so none needs Ray."""
    source, store = LocalSettings(str(folder)), StoreSettings(str(folder / "store"))
    labels: Any = settings.pop("labels", None)
    run = ExtractionRun(source, store, extract=ExtractSettings(**settings), labels=labels)  # type: ignore[arg-type]
    assert extract(run) == 0
    return capsys.readouterr().out.splitlines()


def files(folder: Path) -> dict[str, bytes]:
    """All of the store, but for the record that each run leaves."""
    paths = [path for path in (folder / "store").rglob("*.parquet") if path.parent.name != "runs"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def row(folder: Path) -> dict[str, object]:
    (found,) = Store.open(StoreSettings(str(folder / "store"))).models().to_pylist()
    return dict(found, origins=dict(found["origins"]))


def test_equal_labels_say_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not any("abels" in line for line in run(folder, capsys))


def test_corrected_labels_are_named_and_taken_over_when_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, before_row = files(folder), row(folder)
    write_manifest(folder, net={"task": "Segmentation", "training_dataset": "CIFAR-10", "paper": "arXiv", "name": "n2"})
    for dry_run in (True, False):
        said = run(folder, capsys, dry_run=dry_run)
        assert "Labels differ from the store's for 1 model (extract.update_labels=true takes them over):" in said
        (line,) = (line for line in said if line.startswith("  n2 (net.pt)"))
        for words in (
            "name: 'n2' in the listing, 'net' in the store",
            "task: 'Segmentation' in manifest.yaml, 'Classification' in the store",
            "license: none in the listing, 'MIT' in the store",
            "paper: 'arXiv' in manifest.yaml, none in the store",
        ):
            assert words in line
        assert "training_dataset" not in line
        assert files(folder) == before
    assert said[-1] == "listed 1 = extracted 0 + already there 1 + skipped 0 + failed 0"

    assert "Labels updated of 1 model:" in run(folder, capsys, update_labels=True)
    after, after_row = files(folder), row(folder)
    assert {name for name in before if before[name] != after[name]} == {name for name in before if "models/" in name}
    origins = {"task": "manifest.yaml", "paper": "manifest.yaml"}
    expected = {"name": "n2", "task": "Segmentation", "license": None, "paper": "arXiv"}
    kept = {key: value for key, value in before_row["origins"].items() if key != "license"}  # type: ignore[attr-defined]
    assert after_row == {**before_row, **expected, "origins": {**kept, **origins}}
    assert not any("abels" in line for line in run(folder, capsys))


def test_a_listing_without_the_page_of_a_label_takes_nothing_away(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "manifest.yaml").unlink()
    before = files(folder)
    run(folder, capsys, update_labels=True)
    assert files(folder) == before


def test_a_column_that_somebody_added_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (folder / "store" / "models").glob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column("owner", [["me"]]), path)
    write_manifest(folder, net={"task": "Segmentation"})
    run(folder, capsys, update_labels=True)
    assert (row(folder)["owner"], row(folder)["task"]) == ("me", "Segmentation")


def test_a_row_takes_no_wrong_values(folder: Path) -> None:
    store = Store.open(StoreSettings(str(folder / "store")))
    (model_id,) = store.model_ids()
    before = files(folder)
    with pytest.raises(ValueError, match="there is no column 'colour'"):
        store.relabel_model(model_id, {"colour": "blue"})
    with pytest.raises(ValueError, match="name must not be None"):
        store.relabel_model(model_id, {"name": None})
    assert files(folder) == before


def test_names_of_one_content_are_named_and_counted_once(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.randn(8, 3, 3, 3)}, tmp_path / "a.pt")
    for name in ("b", "c", "d"):
        shutil.copy(tmp_path / "a.pt", tmp_path / f"{name}.pt")
    labels = {name: {"task": name} for name in ("a", "b", "c", "d")}
    write_manifest(tmp_path, **labels)
    store = Store.open(StoreSettings(str(tmp_path / "store")))
    for expected in ("extracted 1 + already there 0", "extracted 0 + already there 1"):
        outcomes = same_content_told(extracted(tmp_path), store)
        line = RunReport(tuple(outcomes), 4, 1.0).line()
        assert line == f"listed 4 = {expected} + same content 3 + skipped 0 + failed 0"
        told = {each.reference.name: each.message for each in outcomes if each.kind is OutcomeKind.SAME_CONTENT}
        assert told == dict.fromkeys(("b", "c", "d"), "the same content as a")
        # The row is a's: what the others say of themselves is no correction of it.
        assert label_changes(outcomes, store) == []
    # Whoever's row it is: the order of the listing does not matter.
    (first, *others) = extracted(tmp_path)
    told = {each.reference.name for each in same_content_told([*others, first], store) if each.message}
    assert told == {"b", "c", "d"}


def test_models_of_the_hub_keep_the_labels_of_their_revision(folder: Path) -> None:
    store = Store.open(StoreSettings(str(folder / "store")))
    (reference,) = list_references(LocalSettings(str(folder)))
    changed = dataclasses.replace(reference, metadata=dataclasses.replace(reference.metadata, task="Other"))
    (model_id,) = store.model_ids()
    there = Outcome(changed, OutcomeKind.ALREADY_THERE, model_id=model_id)
    assert len(label_changes([there], store)) == 1
    pinned = dataclasses.replace(there, reference=dataclasses.replace(changed, revision="c0ffee"))
    assert label_changes([pinned], store) == []


def test_a_manifests_extra_keys_are_attributes(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_manifest(folder, net={**LABELS, "robust": "true", "tasks": "two", "resolution": "32"})
    with caplog.at_level(logging.WARNING):
        run(folder, capsys, update_labels=True)
    assert "entry 1: 'tasks' is kept as an attribute of its own; did you mean 'task'?" in caplog.text
    found = row(folder)
    assert (dict(found["attributes"]), found["resolution"]) == ({"robust": "true", "tasks": "two"}, 32)  # type: ignore[call-overload]
    assert {found["origins"][key] for key in ("robust", "resolution")} == {"manifest.yaml"}  # type: ignore[index]
    write_manifest(folder, net={**LABELS, "resolution": "32"})
    assert any("robust: none in the listing, 'true' in the store" in line for line in run(folder, capsys))
    run(folder, capsys, update_labels=True)
    assert (row(folder)["attributes"], row(folder)["resolution"]) == (None, 32)
    assert "robust" not in row(folder)["origins"]  # type: ignore[operator]


def test_labels_count_before_what_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model_id,) = Store.open(StoreSettings(str(folder / "store"))).model_ids()
    labels = folder / "mine.csv"
    labels.write_text(f"model_id,name,task,lab,license\n,n?t,Segmentation,A,null\n{model_id},,,,\n,other,,,\n")
    before = row(folder)
    for dry_run in (True, False):
        said = run(folder, capsys, labels=str(labels), dry_run=dry_run)
        assert "labels mine.csv: 1 row without a model: mine.csv line 4 (name other)" in said
        assert any(
            "1 model with several rows" in line and "net (mine.csv line 2, mine.csv line 3)" in line for line in said
        )
        (line,) = (line for line in said if line.startswith("  net (net.pt)"))
        assert "task: 'Segmentation' in mine.csv, 'Classification' in the store" in line
        assert "lab: 'A' in mine.csv, none in the store" in line
        assert "license: none in the listing, 'MIT' in the store" in line
        assert row(folder) == before
    run(folder, capsys, labels=str(labels), update_labels=True)
    found = row(folder)
    assert (found["task"], found["license"], dict(found["attributes"])) == ("Segmentation", None, {"lab": "A"})  # type: ignore[call-overload]
    assert found["origins"] == {key: before["origins"][key] for key in ("training_dataset", "visual_category")} | {  # type: ignore[index]
        "task": "mine.csv",
        "lab": "mine.csv",
    }


def test_a_new_model_on_disk_is_joined_by_its_id_once_it_is_read(folder: Path) -> None:
    """Listing cannot know the id; the row is put right at the end of the run."""
    store = Store.open(StoreSettings(str(folder / "store")))
    (model_id,) = store.model_ids()
    labels = LabelFile("l.csv", [LabelRow("l.csv line 2", {"model_id": model_id}, {"task": "Denoising"})])
    (reference,) = labelled(Listing(list_references(LocalSettings(str(folder)))), labels).references
    assert reference.metadata.task == "Classification"
    (change,) = label_changes([Outcome(reference, OutcomeKind.EXTRACTED, model_id)], store, labels)
    assert change.is_new
    store.relabel_model(model_id, change.values)
    assert row(folder)["task"] == "Denoising"
    assert label_changes([Outcome(reference, OutcomeKind.EXTRACTED, model_id)], store, labels) == []


def test_labels_of_a_pinned_model_are_looked_at_too(folder: Path) -> None:
    store = Store.open(StoreSettings(str(folder / "store")))
    (model_id,) = store.model_ids()
    (reference,) = list_references(LocalSettings(str(folder)))
    pinned = dataclasses.replace(reference, revision="c0ffee", metadata=ModelMetadata(task="of the card, since"))
    labels = LabelFile("l.csv", [LabelRow("l.csv line 2", {"name": "net"}, {"training_dataset": "CelebA"})])
    (change,) = label_changes([Outcome(pinned, OutcomeKind.ALREADY_THERE, model_id)], store, labels)
    assert change.differing == {
        "training_dataset": ("CIFAR-10", "CelebA"),
        "visual_category": ("natural", "faces"),
    }


def test_a_description_read_later_does_not_take_labels_away() -> None:
    """Of the Hub's repositories the ``config.json`` may be read by whoever reads the weights."""
    known = relabelled(ModelMetadata(), {"architecture": "mine", "lab": "A", "resolution": "64"}, "l.csv")
    unread = ModelReference("hub", "a/b", "a/b", "c0ffee", (), known, config=FileReference("config.json", 9))
    found = completed(unread, '{"architectures": ["Net"], "model_type": "net"}').metadata
    assert (found.architecture, found.family, found.resolution) == ("mine", "net", 64)
    assert found.attributes == {"lab": "A"}
    assert found.origins == {
        "architecture": "l.csv",
        "family": "config.json",
        "lab": "l.csv",
        "resolution": "l.csv",
    }
