from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from distributed.errors import SkipReason
from distributed.formats import open_checkpoint
from distributed.formats.sniff import FileKind, sniff
from tests.distributed.formats.helpers import open_paths, refused

UNSUPPORTED = SkipReason.UNSUPPORTED_FORMAT
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 97800000\n"


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return buffer.getvalue()


def packed_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("ckpt/plain.pth"), io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", b"", "an empty file (0 bytes)"),
        ("model.pth", b"", "an empty file (0 bytes)"),
        ("model.safetensors", LFS, "git-lfs pointer"),
        ("model.pth", LFS, "git lfs pull"),
        ("model.pth", b"/annex/objects/SHA256E-s1--abc.pth\n", "git-annex pointer"),
        ("model.pth", b"\n<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        ("model.safetensors", b"<html>Sign in</html>", "an HTML page"),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        ("model.bin", b"GGUF\x03\x00\x00\x00", "GGUF"),
        ("model.tflite", b"\x20\x00\x00\x00TFL3" + bytes(20), "TensorFlow Lite"),
        ("model.pth", b"\x1f\x8b\x08\x00" + bytes(30), "gzip"),
        ("model.pth", b"what is this?" * 5, "first bytes 77 68 61"),
        ("config.json", b'{"architectures": ["ResNet"]}', "JSON, but not a shard index"),
        ("model.pth.tar", tar_bytes(), "format before 2017"),
        ("model.tar", packed_tar(), "a tar archive of 'ckpt/plain.pth' …; unpack it first (tar -xf)"),
        ("model.pth.tar", b"\x1f\x8b\x08\x00" + bytes(30), "unpack it first (gunzip, a .tar.gz with tar -xzf)"),
        ("model.pkl", pickle.dumps({"weights": [1.0, 2.0]}, protocol=2), "a plain pickle without a tensor or array"),
        ("__0_0.distcp", b"PK\x03\x04" + bytes(30), "format_utils dcp_to_torch FOLDER model.pt"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(path, UNSUPPORTED, words)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["config.json", "model.weights.h5"], "a Keras model"),
        (["arr_0.npy", "arr_1.npy"], "a NumPy .npz archive"),
        (["photo.jpg"], "a zip archive of photo.jpg; unpack it, and extract what is in it"),
        (["net/best.pth", "net/readme"], "a zip archive of net/best.pth, net/readme; unpack it"),
        (["m/archive_format", "m/models/model.json"], "save the model's state_dict() instead"),
    ],
)
def test_zip_archives_of_other_kinds(tmp_path: Path, members: list[str], words: str) -> None:
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"x")
    refused(path, UNSUPPORTED, "not a torch.save checkpoint", words)


def test_an_index_that_is_broken_json(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {')
    refused(path, SkipReason.UNREADABLE, "not valid JSON")


def test_bytes_decide_not_the_name(tmp_path: Path) -> None:
    for name in ("weights.safetensors", "weights.onnx", "weights"):
        path = tmp_path / name
        torch.save({"conv.weight": torch.ones(1, 1, 3, 3)}, path)
        with open_paths(path) as checkpoint:
            assert checkpoint.format == "torch"
            ((_, tensor),) = checkpoint.read(["conv.weight"])
            assert tensor.sum() == 9


def test_onnx_is_told_from_its_relatives(checkpoints: Path) -> None:
    head = (checkpoints / "version-RFB-320.onnx").read_bytes()[:1000]
    assert sniff(head, 10**6, "renamed.bin").kind is FileKind.ONNX
    saved_model = b"\x08\x01\x12\xf0\x01\x0a\x20" + bytes(100)  # TensorFlow: field 2 is a message
    core_ml = b"\x08\x04\x12\x05\x0a\x03\x0a\x01x"
    for other in (saved_model, core_ml):
        assert sniff(other, 10**6, "model.bin").kind is FileKind.UNSUPPORTED


def test_a_safetensors_file_that_starts_like_json(tmp_path: Path) -> None:
    header = json.dumps({"t": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    header += b" " * (0x7B - len(header))  # its length's first byte is '{'
    path = tmp_path / "model.bin"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x07")
    with open_paths(path) as checkpoint:
        assert [e.name for e in checkpoint.entries] == ["t"]


def test_no_files_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="at least one file"):
        open_checkpoint([])
