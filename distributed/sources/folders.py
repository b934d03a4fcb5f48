"""Walking a folder of checkpoints and reading the small files that describe them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from distributed.errors import SourceError
from distributed.sources.metadata import (
    Facts,
    builder_of,
    facts_of_card,
    facts_of_config,
    parse_config,
    parse_front_matter,
)

logger = logging.getLogger(__name__)

#: Cards, configs and shard indices beyond this size are not read: none is that large.
MAX_TEXT_BYTES = 16 * 1024**2


def files_below(root: Path) -> list[str]:
    """Relative paths (forward slashes, sorted) of all files below ``root``; links are followed, hidden folders are not.

    Raises:
        SourceError: a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename}: cannot be read ({error.strerror}): allow it, or choose another path")

    found: list[str] = []
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        try:
            status = os.stat(folder)
        except OSError as error:
            refuse(error)
            raise
        if (status.st_dev, status.st_ino) in visited:  # a link back up, or a second way to the same folder
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else relative.replace(os.sep, "/") + "/"
        found += [prefix + name for name in files]
    return sorted(found)


def read_small_text(path: Path) -> str:
    """The text of a small file; bytes that are not UTF-8 become U+FFFD.

    Raises:
        OSError: it cannot be read, or is larger than ``MAX_TEXT_BYTES``.
    """
    with path.open("rb") as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise OSError(0, f"larger than {MAX_TEXT_BYTES} bytes", str(path))
    return content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Description:
    """What the files beside a checkpoint say: facts by source, the first before the others, and how to build it."""

    facts: tuple[Facts, ...] = ()
    builder: str | None = None
    config_text: str | None = None


class Descriptions:
    """Descriptions of the folders below ``root``, each file read once.

    ``config.json`` counts for its own folder; ``README.md`` also for the folders below without one of their own, up to
    ``root`` (``unet/`` of a pipeline).
    """

    def __init__(self, root: Path, paths: list[str]) -> None:
        self._root, self._paths = root, frozenset(paths)
        self.of_folder = cache(self._of_folder)
        self._card = cache(self._read_card)

    def _of_folder(self, folder: str) -> Description:
        card = self._card(folder)
        config_path = _within(folder, "config.json")
        text = self._text(config_path) if config_path in self._paths else None
        config = parse_config(text, str(self._root / config_path)) if text is not None else None
        if text is None or config is None:
            return Description((card,))
        return Description((card, facts_of_config(config)), builder_of(config, text), text)

    def _read_card(self, folder: str) -> Facts:
        path = _within(folder, "README.md")
        if path in self._paths and (text := self._text(path)) is not None:
            facts = facts_of_card(parse_front_matter(text, str(self._root / path)))
            if facts:
                return facts
        return self._card(folder.rpartition("/")[0]) if folder else {}

    def _text(self, path: str) -> str | None:
        try:
            return read_small_text(self._root / path)
        except OSError as error:
            logger.warning("%s: cannot be read (%s); nothing is known from it", self._root / path, error.strerror)
            return None


def _within(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
