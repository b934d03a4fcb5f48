"""Where results go and what their files are called."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from distributed.errors import UserError

BASIS_FILE = "basis.json"
SKETCH_FILE = "sketch.parquet"


def folder_named(out: str) -> Path:
    """The folder that ``out`` names; ``~`` is the home folder."""
    return Path(os.path.expanduser(out))


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


def file_stem(axis: str) -> str:
    """An axis's name as part of a file name: a column may be called anything."""
    return re.sub(r"[^\w.-]", "_", axis)


def written_line(paths: Sequence[Path]) -> str:
    """Where the files are, those that differ by their ending alone as ``shift_task.{parquet,csv,png}``."""
    endings: dict[str, list[str]] = {}
    for path in paths:
        endings.setdefault(path.stem, []).append(path.suffix[1:])
    names = [f"{stem}.{e[0]}" if len(e) == 1 else f"{stem}.{{{','.join(e)}}}" for stem, e in endings.items()]
    return f"written to {paths[0].parent}: {', '.join(names)}"
