"""Files whose names say nothing: which of them are checkpoints, and what the others are."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from distributed.formats.sniff import FileKind, sniff
from distributed.formats.zip_kinds import described, torch_root
from distributed.references import ModelReference
from distributed.sources.files import holds_no_model
from distributed.sources.metadata import text_of

#: Enough to tell a file's kind, and the packages that a pickle names first.
_HEAD_BYTES = 64 * 1024

#: Suffixes of what lies beside models everywhere; nobody packs weights into them, so they are not opened.
_NEVER_WEIGHTS = frozenset(
    {
        *(".json", ".jsonl", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".xml", ".csv", ".tsv", ".txt", ".md", ".rst"),
        *(".html", ".pdf", ".log", ".py", ".pyc", ".ipynb", ".sh", ".c", ".h", ".cpp", ".js", ".css", ".lock"),
        *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".mp4", ".avi", ".mov", ".wav"),
    }
)

#: Read as what they are: what is known about the models.
_DESCRIPTIONS = frozenset({"README.md", "config.json", "manifest.yaml"})

#: Kinds of file named in the closing line before it only counts.
_MOST_KINDS = 12


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source lists, and of the files beside it how many of each kind are not read."""

    references: list[ModelReference]
    not_read: Counter[str] = field(default_factory=Counter)


def what_else(path: Path) -> str | None:
    """What a file is, in words ("" where they would say nothing); None for a checkpoint that can be read.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        head, size = file.read(_HEAD_BYTES), os.fstat(file.fileno()).st_size
    found = sniff(head, size, path.name)
    if found.kind is FileKind.TORCH_ZIP:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
            return "a damaged zip archive"
        return None if torch_root(names) is not None else described(names)
    if found.kind is FileKind.PICKLE:
        # Every annotation and cache is pickled too: weights are tensors or arrays.
        return None if b"numpy" in head or b"torch" in head else "a pickle without arrays"
    if found.kind is FileKind.SAFETENSORS:
        return None if int.from_bytes(head[:8], "little") <= size - 8 else ""
    if found.kind in (FileKind.TORCH_LEGACY, FileKind.ONNX):
        return None
    return "" if found.description.startswith("a file of unknown type") else found.description


def sort_out(root: Path, paths: Sequence[str], used: Iterable[str]) -> tuple[list[str], Counter[str]]:
    """Of the files that no model has: those that are checkpoints nevertheless, and how many others of which kind.

    Args:
        root: folder of the files.
        paths: all files, relative to it.
        used: those that belong to a model already.
    """
    taken = set(used)
    # What a link leads to is read by the link's name (the blobs of a Hugging Face cache).
    targets = {os.path.realpath(root / path) for path in paths if (root / path).is_symlink()}
    checkpoints: list[str] = []
    others: Counter[str] = Counter()
    distributed: set[str] = set()
    for path in paths:
        name = PurePosixPath(path).name
        is_target = bool(targets) and not (root / path).is_symlink() and os.path.realpath(root / path) in targets
        if path in taken or name in _DESCRIPTIONS or name.startswith(".") or is_target:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in _NEVER_WEIGHTS:
            kind: str | None = ""
        elif suffix == ".distcp" and (folder := path.rpartition("/")[0]) not in distributed:
            kind = None  # one of each folder stands for the model: opened, it says what it is and how to convert it
            distributed.add(folder)
        elif holds_no_model(name):
            kind = "no model by its name"
        else:
            try:
                kind = what_else(root / path)
            except OSError as error:
                kind = error.strerror or "cannot be read"
        if kind is None:
            checkpoints.append(path)
        else:
            others[f"{text_of(suffix) or 'without suffix'}{f' ({kind})' if kind else ''}"] += 1
    return checkpoints, others


def not_read(kinds: Counter[str]) -> str:
    """``12 files not read: 7 .h5 (an HDF5 file …), 3 .tflite (…), 2 .md``; "" where there is none."""
    if not kinds:
        return ""
    shown = [f"{count} {kind}" for kind, count in kinds.most_common(_MOST_KINDS)]
    more = f", {len(kinds) - _MOST_KINDS} kinds more" if len(kinds) > _MOST_KINDS else ""
    files = kinds.total()
    return f"{files} file{'s' if files > 1 else ''} not read: {', '.join(shown)}{more}"
