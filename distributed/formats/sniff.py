"""What a file is, from its first bytes; its name only decides between what the bytes leave open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Pickle opcodes of ``torch.serialization.MAGIC_NUMBER`` (LONG1 of 10 bytes), the first object of a legacy torch file.
TORCH_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"

#: Enough of a file to hold 86 % of timm's safetensors headers, so that most are read with one request.
HEAD_BYTES = 64 * 1024


class FileKind(StrEnum):
    """Kinds of file that ``open_checkpoint`` tells apart."""

    SAFETENSORS = "safetensors"
    INDEX = "shard index"
    TORCH_ZIP = "zip archive"
    TORCH_LEGACY = "legacy torch file"
    PICKLE = "plain pickle"
    ONNX = "ONNX model"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """``kind`` and, for messages, what the file looks like in words."""

    kind: FileKind
    description: str


_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer instead of the file itself; run `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer instead of the file itself; run `git annex get`"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras/TensorFlow weights)"),
    (b"GGUF", "a GGUF file"),
    (b"\x93NUMPY", "a NumPy .npy array"),
    (b"\x1f\x8b", "a gzip stream; unpack it first (gunzip, a .tar.gz with tar -xzf)"),
    (b"\xfd7zXZ\x00", "an xz stream; unpack it first"),
    (b"BZh", "a bzip2 stream; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard stream; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\x7fELF", "an executable"),
)

_DISTRIBUTED = (
    "one part of a torch.distributed.checkpoint folder; convert the folder: "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt"
)


def sniff(head: bytes, size: int, name: str) -> Sniffed:
    """Classify a file by its first bytes.

    Args:
        head: the first ``min(size, HEAD_BYTES)`` bytes.
        size: of the whole file, in bytes.
        name: path within the model; consulted only where the bytes alone cannot tell.
    """
    if size == 0:
        return Sniffed(FileKind.UNSUPPORTED, "an empty file (0 bytes)")
    for signature, description in _SIGNATURES:
        if head.startswith(signature):
            return Sniffed(FileKind.UNSUPPORTED, description)
    if name.endswith(".distcp"):
        return Sniffed(FileKind.UNSUPPORTED, _DISTRIBUTED)
    if head.startswith(b"PK\x03\x04"):
        return Sniffed(FileKind.TORCH_ZIP, "a zip archive")
    if TORCH_LEGACY_MAGIC in head[:32]:
        return Sniffed(FileKind.TORCH_LEGACY, "a legacy torch file")
    if head[257:262] == b"ustar":
        return Sniffed(FileKind.UNSUPPORTED, _tar(head))
    if head[4:8] == b"TFL3":
        return Sniffed(FileKind.UNSUPPORTED, "a TensorFlow Lite model")
    text = _sniff_text(head)
    if text is not None:
        return text
    if name.endswith(".safetensors") or head[8:9] == b"{":
        return Sniffed(FileKind.SAFETENSORS, "a safetensors file")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Sniffed(FileKind.PICKLE, "a plain pickle")
    if name.endswith(".onnx") or _looks_like_onnx(head):
        return Sniffed(FileKind.ONNX, "an ONNX model")
    return Sniffed(FileKind.UNSUPPORTED, f"a file of unknown type, first bytes {head[:16].hex(' ')}")


def _tar(head: bytes) -> str:
    """A tar archive by its first member, whose name is its first field."""
    first = head[:100].split(b"\0")[0].decode("utf-8", "replace")
    if first in ("sys_info", "pickle", "tensors", "storages"):
        return "torch's format before 2017: load it with torch and save its state_dict() again"
    return f"a tar archive of {first!r} …; unpack it first (tar -xf)"


def _sniff_text(head: bytes) -> Sniffed | None:
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return Sniffed(FileKind.UNSUPPORTED, "an HTML page, probably an error page saved under the checkpoint's name")
    if start.startswith(b"<?xml"):
        return Sniffed(FileKind.UNSUPPORTED, "an XML document")
    # A safetensors file may begin with any byte, '{' included; its 8 length bytes hold zeros, which JSON never does.
    if start.startswith(b"{") and b"\0" not in head[:8]:
        return Sniffed(FileKind.INDEX, "a JSON file")
    return None


def _looks_like_onnx(head: bytes) -> bool:
    """Whether the bytes start a serialised ``onnx.ModelProto``: ir_version first, then one of its known fields.

    Core ML models and TensorFlow SavedModels start alike (field 1 varint, field 2 message); there field 2 is a message,
    here it is the producer's name in plain text.
    """
    if len(head) < 4 or head[0] != 0x08 or not 1 <= head[1] < 0x80:
        return False
    tag, length = head[2], head[3]
    if tag == 0x12:  # producer_name
        text = head[4 : 4 + length]
        return len(text) == length and all(0x20 <= byte < 0x7F for byte in text)
    return tag in (0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)  # the other fields 3 … 8 of ModelProto
