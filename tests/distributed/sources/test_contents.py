"""Files under any name: told by their content, and what is not read is counted by kind, never silent."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from distributed.dry_run import print_plan
from distributed.errors import SourceError
from distributed.plan import Plan
from distributed.report import RunReport, print_report
from distributed.sources import list_source
from distributed.sources.contents import Listing, not_read
from distributed.sources.files import holds_no_model, is_weight_file
from distributed.sources.settings import LocalSettings
from tests.distributed.sources.models import weights


def listed(path: Path) -> Listing:
    return list_source(LocalSettings(str(path)))


def entries(path: Path) -> list[str]:
    return sorted(reference.entry for reference in listed(path).references)


@pytest.mark.parametrize(
    "name", ["model.pkl", "80.t7", "phase999.torch", "best.model", "net.weights", "G_latest", "x.pt2"]
)
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "pickle", "script"])
@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_checkpoints_under_any_name(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    match kind:
        case "safetensors":
            save_file(weights(), path)
        case "pickle":
            path.write_bytes(pickle.dumps({key: each.numpy() for key, each in weights().items()}))
        case "script":
            torch.jit.script(torch.nn.Conv2d(3, 4, 3)).save(path)
        case _:
            torch.save(weights(), path, _use_new_zipfile_serialization=kind == "zip")
    assert entries(tmp_path / "in") == [name]
    assert entries(path) == [name]
    assert listed(tmp_path / "in").not_read == {}


def write_others(folder: Path) -> None:
    """What lies beside models."""
    (folder / "tf_model.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    (folder / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    (folder / "net.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(500))
    np.savez(folder / "net.npz", conv=np.zeros((3, 3)))
    with zipfile.ZipFile(folder / "net.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"x")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("inner/net.pth", b"x")
    (folder / "labels.pkl").write_bytes(pickle.dumps({"cat": 1}))
    (folder / "net.pdiparams").write_bytes(bytes(range(256)))
    (folder / "README.md").write_text("the card")
    (folder / "config.json").write_text("{}")
    (folder / "notes.txt").write_text("x")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "optimizer.pt").write_bytes(b"x")
    os.symlink("nowhere", folder / "gone.weights")


def test_what_is_not_read_is_counted_by_kind(tmp_path: Path) -> None:
    write_others(tmp_path)
    with pytest.raises(SourceError, match=r"no checkpoints found in .* \(11 files not read: 2 \.h5 \(an HDF5 file"):
        listed(tmp_path)
    torch.save(weights(), tmp_path / "net.pth")
    listing = listed(tmp_path)
    assert [reference.entry for reference in listing.references] == ["net.pth"]
    assert dict(listing.not_read) == {
        ".h5 (an HDF5 file (Keras/TensorFlow weights))": 2,
        ".tflite (a TensorFlow Lite model)": 1,
        ".npz (a NumPy .npz archive)": 1,
        ".keras (a Keras model)": 1,
        ".zip (a zip archive of inner/net.pth; unpack it, and extract what is in it)": 1,
        ".pkl (a pickle without arrays)": 1,
        ".pdiparams": 1,
        ".txt": 1,
        ".pt (no model by its name)": 1,
        ".weights (No such file or directory)": 1,
    }
    assert not_read(listing.not_read).startswith(
        "11 files not read: 2 .h5 (an HDF5 file (Keras/TensorFlow weights)), 1 "
    )


def test_beside_a_manifest_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_others(tmp_path)
    for name in ("named.weights", "G_latest", "other.pth"):
        torch.save(weights(), tmp_path / name)
    (tmp_path / "manifest.yaml").write_text("models:\n  - file: named.weights\n")
    listing = listed(tmp_path)
    assert [reference.entry for reference in listing.references] == ["named.weights"]
    assert listing.not_read.total() == 11
    assert "left out 2 checkpoints" in caplog.text
    assert "G_latest, other.pth" in caplog.text


def test_it_is_among_the_closing_lines_of_run_and_plan(tmp_path: Path) -> None:
    write_others(tmp_path)
    torch.save(weights(), tmp_path / "net.pth")
    beside = not_read(listed(tmp_path).not_read)
    console = Console(width=400, record=True, file=io.StringIO())
    print_report(RunReport((), 0, 1.0), "store", console, beside)
    assert console.export_text().splitlines()[-2:] == [beside, RunReport((), 0, 1.0).line()]
    print_plan(Plan((), (), ()), console, beside)
    assert beside in console.export_text().splitlines()


def test_many_kinds_are_only_counted() -> None:
    counts = Listing([]).not_read
    assert not_read(counts) == ""
    counts.update({f".{number}": 20 - number for number in range(15)})
    assert not_read(counts) == (
        "195 files not read: " + ", ".join(f"{20 - number} .{number}" for number in range(12)) + ", 3 kinds more"
    )


def test_blobs_that_links_lead_to_are_read_by_the_links_name(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b/blobs", tmp_path / "models--a--b/snapshots/c0ffee"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    save_file(weights(), blobs / "deadbeef")
    (blobs / "cafe").write_text("the card")
    (snapshot / "model.safetensors").symlink_to("../../blobs/deadbeef")
    (snapshot / "README.md").symlink_to("../../blobs/cafe")
    listing = listed(tmp_path)
    assert [reference.entry for reference in listing.references] == ["models--a--b/snapshots/c0ffee/model.safetensors"]
    assert listing.not_read == {}


def test_a_folder_of_torch_distributed_is_one_model(tmp_path: Path) -> None:
    folder = tmp_path / "step_100"
    folder.mkdir()
    for name in (".metadata", "__0_0.distcp", "__1_0.distcp"):
        (folder / name).write_bytes(b"PK\x03\x04")
    listing = listed(tmp_path)
    assert [reference.entry for reference in listing.references] == ["step_100/__0_0.distcp"]
    ((kind, count),) = listing.not_read.items()
    assert count == 1
    assert "dcp_to_torch FOLDER model.pt" in kind


@pytest.mark.parametrize(
    ("name", "is_model"),
    [
        *(("optimized.onnx", True), ("optimal_model.pth", True), ("optimus.bin", True), ("scaler_net.pth", True)),
        *(("scheduled_sampling.pt", True), ("vocabulary_cnn.pt", True), ("tokenizer_free_ocr.safetensors", True)),
        *(("random.pth", True), ("train.pt", True), ("merges_net.bin", True), ("rng_net.pth", True)),
        *(("zero_pp_rank_0_mp_rank_00_model_states.pt", True), ("mp_rank_00_model_states.pt", True)),
        *(("optimizer.pt", False), ("optimizer_1.bin", False), ("Optimizer.pth.tar", False), ("optim.pt", False)),
        *(("optimizer_state.pt", False), ("lr_scheduler.pt", False), ("scheduler_0.bin", False), ("scaler.pt", False)),
        *(("rng_state_0.pth", False), ("random_states_0.pt", False), ("training_args.bin", False)),
        *(("zero_pp_rank_0_mp_rank_00_optim_states.pt", False), ("tokenizer.bin", False), (".hidden.pt", False)),
    ],
)
def test_training_state_is_told_by_whole_words(name: str, is_model: bool) -> None:
    assert is_weight_file(f"folder/{name}") is is_model
    assert holds_no_model(name) is not is_model
