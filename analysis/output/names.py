"""Where results go and what their files are called."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from distributed.errors import UserError

BASIS_FILE = "basis.json"
SKETCH_FILE = "sketch.parquet"

#: File systems take names of 255 bytes.
_LONGEST_STEM = 48


def folder_named(out: str) -> Path:
    """The folder that ``out`` names; ``~`` is the home folder."""
    return Path(os.path.expanduser(out))


@contextmanager
def results_folder(out: str) -> Iterator[Path]:
    """``writable_folder``; folders that were made for it go again if the command ends with an error."""
    there = next(each for each in (folder_named(out), *folder_named(out).absolute().parents) if each.exists())
    folder = writable_folder(out)
    try:
        yield folder
    except BaseException:
        for made in (folder, *folder.absolute().parents):
            if made.absolute() == there.absolute() or any(made.iterdir()):
                break
            made.rmdir()
        raise


def writable_folder(out: str) -> Path:
    """The folder ``out``, made if need be, after trying to write into it.

    Raises:
        UserError: it is not a local folder, or nothing can be written there.
    """
    if "://" in out:
        raise UserError(f"out={out}: results go to a folder on this machine; copy them from there")
    if not out.strip():
        raise UserError("out is empty: name a folder for the results, or '.' for this one")
    folder = folder_named(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"out={out}: cannot write there: {error.strerror or error}: choose another folder") from error
    return folder


def file_stem(name: str) -> str:
    """The name of an axis or a model as part of a file name: it may be called anything.

    Where something had to be replaced or cut, a digest of the whole name follows, so that no two names share a file.
    """
    stem = re.sub(r"[^\w.-]", "_", name)[:_LONGEST_STEM]
    return stem if stem == name else f"{stem}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"


def written_line(paths: Sequence[Path]) -> str:
    """Where the files are, those that differ by their ending alone as ``shift_task.{parquet,csv,png}``."""
    endings: dict[str, list[str]] = {}
    for path in paths:
        endings.setdefault(path.stem, []).append(path.suffix[1:])
    names = [f"{stem}.{e[0]}" if len(e) == 1 else f"{stem}.{{{','.join(e)}}}" for stem, e in endings.items()]
    return f"written to {paths[0].parent}: {', '.join(names)}"
