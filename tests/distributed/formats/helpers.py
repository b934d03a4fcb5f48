"""Byte sources and files for the tests of formats."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from distributed.errors import SkipReason, UnextractableError
from distributed.formats import Checkpoint, open_checkpoint
from distributed.formats.base import ByteSource
from distributed.local_files import LocalFile


class CountingFile(LocalFile):
    """A local file that remembers the ranges of each call."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self.calls: list[list[tuple[int, int]]] = []

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.calls.append(list(ranges))
        return super().read_ranges(ranges)


class Served:
    """A file as a server gives it: exact ranges, counted; what is asked for whole is remembered apart.

    Implements ``distributed.formats.base.ByteSource``.
    """

    verified_sha256 = None

    def __init__(self, path: Path, name: str) -> None:
        self._path, self.name, self.size = path, name, path.stat().st_size
        self.calls: list[list[tuple[int, int]]] = []
        self.is_whole = False

    @property
    def bytes_read(self) -> int:
        return self.size * self.is_whole + sum(stop - start for call in self.calls for start, stop in call)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytearray]:
        self.calls.append(list(ranges))
        content = self._path.read_bytes()
        assert all(0 <= start <= stop <= self.size for start, stop in ranges)
        return [bytearray(content[start:stop]) for start, stop in ranges]

    def local_path(self) -> Path:
        self.is_whole = True
        return self._path


#: How ``open_paths`` reads: a test that is to hold by both ways uses the fixture ``each_source``.
source_kinds: list[Callable[[Path, str], ByteSource]] = [LocalFile]


def open_paths(*paths: Path, **options: Any) -> Checkpoint:
    return open_checkpoint([source_kinds[-1](path, path.name) for path in paths], **options)


def refused(path: Path, reason: SkipReason, *words: str) -> UnextractableError:
    """Opening ``path`` must be refused for ``reason``, in one line that holds the file's name and ``words``."""
    with pytest.raises(UnextractableError) as caught:
        open_paths(path)
    error = caught.value
    assert error.reason is reason, str(error)
    assert error.place.file == path.name
    for word in (path.name, *words):
        assert word in str(error), f"{word!r} is not in {error}"
    assert "\n" not in str(error)
    return error


def safetensors_bytes(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
