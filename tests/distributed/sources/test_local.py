"""Local folders and manifests: what is listed, under which name, with what is known, and each refusal in one line."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from safetensors.torch import save_file

from distributed.byte_sources import open_sources
from distributed.errors import SourceError
from distributed.formats import open_checkpoint
from distributed.references import ModelReference
from distributed.sources import list_references
from distributed.sources.settings import LocalSettings
from tests.distributed.sources.models import weights, write_card, write_model, write_onnx, write_shards
from tests.tensors import read


def listed(path: Path, **changes: object) -> dict[str, ModelReference]:
    """The listing by name."""
    references = list_references(LocalSettings(str(path), **changes))  # type: ignore[arg-type]
    assert [each.name for each in references] == sorted({each.name for each in references})
    return {each.name: each for each in references}


def refusal(path: Path, **changes: object) -> str:
    """The one line that a listing ends with."""
    with pytest.raises(SourceError) as caught:
        listed(path, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_manifest(folder: Path, *entries: dict[str, object]) -> None:
    """``manifest.yaml`` with these entries."""
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"models": list(entries)}))


def test_the_real_checkpoints(checkpoints: Path) -> None:
    models = listed(checkpoints)
    assert len(models) == 11
    wnet = models["wnet_drive"]
    assert (wnet.entry, wnet.size, wnet.root) == ("lwnet_wnet_drive.pth", 919662, str(checkpoints.resolve()))
    assert (wnet.metadata.task, wnet.metadata.visual_category) == ("Segmentation", "medical fundus")
    assert wnet.metadata.origins["task"] == "manifest.yaml"
    assert wnet.metadata.origins["file"].startswith("agaldran/lwnet@")
    assert wnet.tied_sha256 is not None
    assert wnet.tied_sha256.startswith("91f0cada")
    assert wnet.files[0].stamp == (checkpoints / wnet.entry).stat().st_mtime_ns
    assert wnet.pinned_model_id is None
    twins = listed(checkpoints, manifest="", models=("version-RFB*",))
    assert set(twins) == {"version-RFB-320.pth", "version-RFB-320.onnx"}


def test_hub_layout_folders_bare_files_and_training_state(tmp_path: Path) -> None:
    write_model(tmp_path / "a/b/net", card={"license": "mit"})
    torch.save(weights(), tmp_path / "a/b/net/pytorch_model.bin")
    for name in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state_0.pth", ".hidden.pt", "notes.txt"):
        (tmp_path / "a/b/net" / name).write_bytes(b"no model")
    (tmp_path / ".git").mkdir()
    torch.save(weights(), tmp_path / ".git/x.pt")
    for name in ("bare.pth", "old.pth.tar", "twin.ckpt", "twin.th", "sub.v1.pt"):
        torch.save(weights(), tmp_path / name)
    models = listed(tmp_path)
    assert {name: each.entry for name, each in models.items()} == {
        "a/b/net": "a/b/net/model.safetensors",
        "bare": "bare.pth",
        "old": "old.pth.tar",
        "twin.ckpt": "twin.ckpt",
        "twin.th": "twin.th",
        "sub.v1": "sub.v1.pt",
    }
    net = models["a/b/net"].metadata
    assert (net.license, net.architecture, net.family) == ("mit", "TwoConvs", "toy")
    assert net.origins == {"license": "README.md", "architecture": "config.json", "family": "config.json"}
    assert models["bare"].metadata.origins == {}
    assert listed(tmp_path / "a/b/net").keys() == {"net"}


def test_shards_and_missing_shards(tmp_path: Path) -> None:
    write_shards(tmp_path / "whole")
    write_shards(tmp_path / "part")
    (tmp_path / "part/model-00002-of-00002.safetensors").unlink()
    write_shards(tmp_path / "loose")
    (tmp_path / "loose/model.safetensors.index.json").unlink()
    models = listed(tmp_path)
    whole = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert [each.path for each in models["whole"].files] == [f"whole/{name}" for name in whole]
    assert [each.path for each in models["loose"].files] == [f"loose/{name}" for name in whole[1:]]
    assert models["whole"].problem is models["loose"].problem is None
    assert models["part"].problem is not None
    assert models["part"].problem.reason == "unreadable"
    assert "part/model-00002-of-00002.safetensors" in models["part"].problem.message


def test_onnx_external_data_belongs_to_its_graph(tmp_path: Path) -> None:
    array = weights()["conv1.weight"].numpy()
    weight = helper.make_tensor("w", TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 6, 6])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], [weight]))
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    [net] = listed(tmp_path).values()
    assert [each.path for each in net.files] == ["net.onnx", "net.onnx.data"]
    assert net.size == sum(path.stat().st_size for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "location", ["weights.pb", "5f0c1d9e.data", "weights.bin", "model.onnx_data", "wei ghts.pt", None], ids=str
)
@pytest.mark.parametrize("folder", [".", "onnx"])
def test_onnx_external_data_of_any_name_is_found_and_no_model_of_its_own(
    tmp_path: Path, location: str | None, folder: str
) -> None:
    write_onnx(tmp_path / folder / "model.onnx", location)
    (only,) = listed(tmp_path).values()
    prefix = "" if folder == "." else "onnx/"
    data = [location] if location is not None else ["conv1.weight", "conv2.weight"]
    assert [each.path for each in only.files] == [f"{prefix}model.onnx", *(prefix + each for each in data)]
    assert only.size == sum(each.stat().st_size for each in (tmp_path / folder).iterdir())
    with open_checkpoint(open_sources(only, tmp_path)) as checkpoint:
        found = dict(read(checkpoint, list(weights())))
    assert all(torch.equal(found[name], weight) for name, weight in weights().items())
    # Named by itself, the file has its data as well.
    (alone,) = listed(tmp_path / folder / "model.onnx").values()
    assert [each.path for each in alone.files] == ["model.onnx", *data]


def test_onnx_external_data_in_a_folder_below(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx", "data.bin")
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    (tmp_path / ".deep").mkdir()
    (tmp_path / "data.bin").rename(tmp_path / ".deep" / "data.bin")
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "./.deep/data.bin"
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    for path in (tmp_path, tmp_path / "model.onnx"):
        (only,) = listed(path).values()
        assert [each.path for each in only.files] == ["model.onnx", ".deep/data.bin"]


def test_what_a_graph_names_outside_its_folder_or_twice_is_no_file_of_it(tmp_path: Path) -> None:
    write_onnx(tmp_path / "a" / "model.onnx", "shared.safetensors")
    (tmp_path / "a" / "shared.safetensors").unlink()
    save_file(weights(), tmp_path / "a" / "shared.safetensors")  # says by itself what it is
    write_onnx(tmp_path / "b" / "model.onnx", "gone.bin")
    (tmp_path / "b" / "gone.bin").unlink()
    (tmp_path / "secret").write_bytes(b"x" * 10_000)
    write_onnx(tmp_path / "c" / "model.onnx", "w.bin")
    model = onnx.load(tmp_path / "c" / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../secret"
    (tmp_path / "c" / "model.onnx").write_bytes(model.SerializeToString())
    files = {each.entry: [file.path for file in each.files] for each in listed(tmp_path).values()}
    assert files == {
        "a/model.onnx": ["a/model.onnx", "a/shared.safetensors"],
        "a/shared.safetensors": ["a/shared.safetensors"],
        "b/model.onnx": ["b/model.onnx"],
        "c/model.onnx": ["c/model.onnx"],
        "c/w.bin": ["c/w.bin"],
    }


def test_one_checkpoint_file_as_path(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "a.pth")
    torch.save(weights(), tmp_path / "b.pth")
    assert {name: each.entry for name, each in listed(tmp_path / "a.pth").items()} == {"a": "a.pth"}
    write_manifest(tmp_path, {"file": "b.pth", "name": "bee", "task": "Denoising"})
    assert listed(tmp_path / "b.pth")["bee"].metadata.task == "Denoising"
    (tmp_path / "notes.txt").write_text("x")
    assert "a file of unknown type, no checkpoint that is read here: choose" in refusal(tmp_path / "notes.txt")


def test_links_are_followed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blobs = tmp_path / "models--o--n/blobs"
    blobs.mkdir(parents=True)
    write_model(tmp_path / "made")
    (tmp_path / "made/model.safetensors").rename(blobs / "0123abcd")
    snapshot = tmp_path / "models--o--n/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blobs / "0123abcd")
    (tmp_path / "second.safetensors").symlink_to(blobs / "0123abcd")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.pth").symlink_to(tmp_path / "nowhere.pth")
    models = listed(tmp_path)
    assert set(models) == {"models--o--n/snapshots/abc", "gone"}
    assert models["gone"].problem is not None
    assert "a broken link?" in models["gone"].problem.message
    assert "second.safetensors is the same file as" in caplog.text


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/bad\xff.pth", "wb") as file:
        file.write(b"x")
    torch.save(weights(), tmp_path / "gut – schön [1].pth")
    models = listed(tmp_path)
    [bad] = [each for name, each in models.items() if name.startswith("bad")]
    assert bad.problem is not None
    assert "not UTF-8: rename it" in bad.problem.message
    assert bad.reference_key
    assert listed(tmp_path, models=("gut – schön [1]",)).keys() == {"gut – schön [1]"}


def test_reference_key_follows_the_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net") / "model.safetensors"
    before = listed(tmp_path)["net"].reference_key
    assert listed(tmp_path / ".")["net"].reference_key == before
    os.utime(path, ns=(1, 1))
    assert listed(tmp_path)["net"].reference_key != before


def test_listing_reads_no_weights(open_folder: Path, request: pytest.FixtureRequest) -> None:
    write_model(open_folder / "net", card={"task": "Denoising"})
    (open_folder / "net/model.safetensors").chmod(0)
    request.getfixturevalue("as_nobody")
    net = listed(open_folder)["net"]
    assert net.problem is None
    assert net.metadata.task == "Denoising"
    assert net.size > 0


def test_paths_that_cannot_be_listed(open_folder: Path, request: pytest.FixtureRequest) -> None:
    assert "no such file or folder: check the path" in refusal(open_folder / "nowhere")
    (open_folder / "empty/deep").mkdir(parents=True)
    message = refusal(open_folder / "empty")
    assert message.startswith("no checkpoints found in")
    assert message.endswith("at any depth and under any name")
    (open_folder / "circle").symlink_to(open_folder / "circle")
    assert "cannot be read" in refusal(open_folder / "circle")
    write_model(open_folder / "shut/inner")
    (open_folder / "shut/inner").chmod(0)
    request.getfixturevalue("as_nobody")
    assert "shut/inner: cannot be read (Permission denied)" in refusal(open_folder / "shut")
    assert "cannot be read (Permission denied)" in refusal(open_folder / "shut/inner/model.safetensors")


def test_a_name_that_matches_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "resnet")
    assert refusal(tmp_path, models=("resnett",)) == "no model is called 'resnett': did you mean resnet?"


def test_a_manifest_is_exact(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_model(tmp_path / "net", card={"task": "Denoising", "license": "mit"})
    torch.save(weights(), tmp_path / "other.pth")
    (tmp_path / "odd.weights").write_bytes(b"x")
    digest = "0123456789" * 6 + "ABCD"
    write_manifest(
        tmp_path,
        {"file": "./net/../net/model.safetensors", "name": "one", "task": "Segmentation", "builder": "timm:resnet18"},
        {"file": "odd.weights", "sha256": digest, "training_dataset": ["A", "B"], "license": None, "family": "null"},
    )
    with caplog.at_level(logging.WARNING):
        models = listed(tmp_path)
    assert set(models) == {"one", "odd"}
    assert (models["one"].metadata.task, models["one"].metadata.license) == ("Segmentation", "mit")
    assert models["one"].metadata.origins["task"] == "manifest.yaml"
    assert models["one"].builder == "timm:resnet18"
    odd = models["odd"]
    assert (odd.tied_sha256, odd.metadata.training_dataset) == (digest.lower(), "A, B")
    assert odd.metadata.license is odd.metadata.family is None
    assert "left out 1 checkpoints" in caplog.text
    assert "other.pth" in caplog.text


SHA = "a" * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [{file: a.pth}, {file: gone.pth}]", "names .*gone.pth, which cannot be read"),
        ("models: [{file: a.pth, name: x}, {file: b.pth, name: x}]", "entries 1 and 2 have the same name, x"),
        ("models: [{file: a.pth, name: x}, {file: ./sub/../a.pth}]", "entries 1 and 2 have the same file, a.pth"),
        ("models: [{file: a.pth}, {file: link.pth}]", "a and link name one file, a.pth and link.pth"),
        ("models: [{file: a.pth}, {file: hard.pth}]", "a and hard name one file"),
        ("models: [{file: a.pth, resolution: 224x112}]", "entry 1: resolution is the side of a square in pixels"),
        ("models: [{file: a.pth}]\nmodel: 1", "unknown key model beside 'models'"),
        ("models: [{name: a}]", "entry 1: 'file' is missing"),
        ("models: [a.pth]", "entry 1: expected a mapping"),
        ("models: [{file: a.pth, task: {a: b}}]", "task is a mapping"),
        (f"models: [{{file: a.pth, sha256: {SHA[:-1]}}}]", "sha256 must be 64 hexadecimal digits"),
        (f"models: [{{file: a.pth, sha256: {SHA[:-1]}g}}]", "sha256 must be 64 hexadecimal digits"),
        ("models: [{file: a.pth, builder: os.system}]", "builder must be"),
        ("models: [{file: ../a.pth}]", "lies outside the folder"),
        ("models: [{file: /etc/a.pth}]", "lies outside the folder"),
        ("models: [{file: sub}]", "which is no file"),
        ("models: [{file: a.pth", "malformed YAML, line 1"),
        ("models: !!python/object/apply:os.system [x]", "expected a mapping with the list|names no model|entry 1"),
        ("a list", "expected a mapping with the list 'models'"),
        ("models: []", "names no model"),
        ("[" * 600, "malformed YAML"),
    ],
)
def test_manifest_refusals(tmp_path: Path, text: str, said: str) -> None:
    import re

    for name in ("a.pth", "b.pth"):
        torch.save(weights(), tmp_path / name)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.pth").symlink_to(tmp_path / "a.pth")
    os.link(tmp_path / "a.pth", tmp_path / "hard.pth")
    (tmp_path / "manifest.yaml").write_text(text)
    message = refusal(tmp_path)
    assert "manifest.yaml" in message
    assert re.search(said, message), message


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "a.pth")
    assert "no such manifest" in refusal(tmp_path, manifest=str(tmp_path / "none.yaml"))
    (tmp_path / "manifest.yaml").write_bytes(b"models: \xff\xfe")
    assert "is not UTF-8 text" in refusal(tmp_path)


def test_cards_of_folders_above(tmp_path: Path) -> None:
    write_card(tmp_path / "pipe", {"license": "mit", "pipeline_tag": "image-segmentation"})
    write_model(tmp_path / "pipe/unet")
    write_model(tmp_path / "pipe/vae", card={"license": "apache-2.0"})
    models = listed(tmp_path)
    assert (models["pipe/unet"].metadata.license, models["pipe/unet"].metadata.task) == ("mit", "Segmentation")
    assert (models["pipe/vae"].metadata.license, models["pipe/vae"].metadata.task) == ("apache-2.0", None)


def test_emoji_of_a_json_manifest_stay_two(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        save_file(weights(seed), tmp_path / f"{name}.safetensors")
    # JSON escapes them as pairs of halves; the last half is alone.
    entries = [{"file": "one.safetensors", "task": "😀"}, {"file": "two.safetensors", "task": "😁\ud83d"}]
    (tmp_path / "manifest.yaml").write_text(json.dumps({"models": entries}))
    assert [model.metadata.task for model in listed(tmp_path).values()] == ["😀", "😁?"]
