"""A checkpoint file on this machine's file systems."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distributed.errors import FilterShiftError, Place, RetryableError, SkipReason, UnextractableError


class LocalFile:
    """``ByteSource`` of a file on disk.

    Args:
        path: where it is.
        name: path relative to the model's root, for messages.

    Raises:
        UnextractableError: there is no such file, or it may not be read.
        RetryableError: the file system failed.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._bytes_read = 0
        self._sha256: str | None = None
        try:
            with path.open("rb") as file:
                self._size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise error_from_disk(error, path, name) from error

    @property
    def name(self) -> str:
        """Path relative to the model's root."""
        return self._name

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._size

    @property
    def bytes_read(self) -> int:
        """Bytes read so far; a file handed out by ``local_path`` counts whole, the digest's own pass does not."""
        return self._bytes_read

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """The bytes of each half-open ``(start, stop)`` range, in the order asked.

        Raises:
            UnextractableError: a range lies outside the file.
            RetryableError: the disk failed, or the file became shorter meanwhile.
        """
        check_ranges(ranges, self._size, self._name)
        parts = []
        try:
            with self._path.open("rb", buffering=0) as file:
                for start, stop in ranges:
                    parts.append(self._read(file.fileno(), start, stop))
        except OSError as error:
            raise error_from_disk(error, self._path, self._name) from error
        return parts

    def _read(self, descriptor: int, start: int, stop: int) -> memoryview:
        # NumPy's memory is not set to zero first, and asks for huge pages: measured, a quarter of a bytearray's time.
        content: memoryview = np.empty(stop - start, np.uint8).data
        done = 0
        while done < len(content):
            # One read gives at most 2 GiB.
            count = os.preadv(descriptor, [content[done:]], start + done)
            if not count:
                raise RetryableError(
                    f"{self._path}: ends at byte {start + done}, expected {self._size} bytes: "
                    "the file became shorter while it was read"
                )
            done += count
            self._bytes_read += count
        return content

    @property
    def verified_sha256(self) -> str | None:
        """The digest, if ``sha256`` was asked for."""
        return self._sha256

    def local_path(self) -> Path:
        """The file itself."""
        self._bytes_read = max(self._bytes_read, self._size)
        return self._path

    def sha256(self) -> str:
        """Hex SHA-256 of the content, read in pieces once.

        Raises:
            UnextractableError: the file is gone or may not be read.
            RetryableError: the disk failed.
        """
        if self._sha256 is None:
            self._sha256 = sha256_of_file(self._path, self._name)
        return self._sha256


def sha256_of_file(path: Path, name: str) -> str:
    """Hex SHA-256 of a file's content; errors as ``LocalFile.sha256``."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise error_from_disk(error, path, name) from error


def check_ranges(ranges: Sequence[tuple[int, int]], size: int, name: str) -> None:
    """Raise ``UnextractableError`` for a range that is not within ``0 … size``."""
    for start, stop in ranges:
        if not 0 <= start <= stop <= size:
            raise UnextractableError(
                SkipReason.UNREADABLE,
                f"{name}: bytes {start} … {stop} lie outside the file of {size} bytes: it is truncated or damaged",
                Place(file=name, expected=f"at least {stop} bytes", found=f"{size} bytes"),
            )


def error_from_disk(error: OSError, path: Path, name: str) -> FilterShiftError:
    """Our error for a file system's."""
    reason = error.strerror or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return UnextractableError(
            SkipReason.NOT_FOUND, f"{path}: no such file any more: list the source again", Place(file=name)
        )
    if isinstance(error, PermissionError):
        return UnextractableError(
            SkipReason.UNREADABLE, f"{path}: no permission to read it: allow it for this user", Place(file=name)
        )
    if isinstance(error, IsADirectoryError):
        return UnextractableError(
            SkipReason.UNREADABLE, f"{path}: is a folder, not a checkpoint file", Place(file=name)
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = path if path.is_dir() else path.parent
        return RetryableError(f"no space left in {folder} for {name}: free some, or set TMPDIR to a larger disk")
    return RetryableError(f"{path}: {reason}")
