"""A file whose beginning is looked at to tell what it is: what has been read once is not asked for again."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

from distributed.errors import RetryableError
from distributed.formats.base import ByteSource, Content
from distributed.formats.fetching import read_exactly
from distributed.formats.sniff import HEAD_BYTES
from distributed.local_files import LocalFile, check_ranges


class Remembered:
    """``ByteSource`` of another one, of which pieces are kept: its head, and what ``remember`` was asked for.

    Args:
        source: where the bytes come from.
        head_bytes: how much of the beginning is read at once.
    """

    def __init__(self, source: ByteSource, head_bytes: int = HEAD_BYTES) -> None:
        self._source, self._head_bytes = source, min(head_bytes, source.size)
        self._pieces: list[tuple[int, int, memoryview]] = []
        self._mapped: memoryview | None = None

    @property
    def name(self) -> str:
        """See ``ByteSource``."""
        return self._source.name

    @property
    def size(self) -> int:
        """See ``ByteSource``."""
        return self._source.size

    @property
    def bytes_read(self) -> int:
        """See ``ByteSource``: what came from the file, not what was remembered."""
        return self._source.bytes_read

    @property
    def verified_sha256(self) -> str | None:
        """See ``ByteSource``."""
        return self._source.verified_sha256

    @property
    def on_disk(self) -> bool:
        """Whether the whole file is here already, to be mapped."""
        return isinstance(self._source, LocalFile)

    def local_path(self) -> Path:
        """See ``ByteSource``."""
        return self._source.local_path()

    def mapped(self) -> memoryview:
        """The whole file, fetched first if it is remote, as memory that costs nothing before it is looked at.

        Raises:
            UnextractableError: the file is gone.
            RetryableError: fetching or reading failed.
        """
        if self._mapped is None:
            path = self.local_path()
            try:
                with path.open("rb") as file:
                    # Private pages: torch asks for memory that may be written to. None of them ever is.
                    self._mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            except (OSError, ValueError) as error:
                raise RetryableError(f"{self.name}: reading failed ({error}); try again") from error
            self._pieces = [(0, len(self._mapped), self._mapped)]
        return self._mapped

    def head(self) -> bytes:
        """The beginning of the file, ``head_bytes`` of it where it has so many; kept.

        Raises:
            UnextractableError: as ``read_ranges``.
            RetryableError: as ``read_ranges``.
        """
        self.remember((0, self._head_bytes))
        return bytes(self.read_ranges([(0, self._head_bytes)])[0])

    def remember(self, *ranges: tuple[int, int]) -> None:
        """Read what is not known yet of some ranges, in one call, and keep it. Errors as ``read_ranges``."""
        gaps = [gap for start, stop in ranges if (gap := self._gap(start, stop)) is not None]
        # Nobody owns what is kept: whoever wants to write to it copies it.
        parts = [memoryview(part).toreadonly() for part in read_exactly(self._source, gaps)]
        self._pieces += [(*gap, part) for gap, part in zip(gaps, parts, strict=True)]
        self._pieces.sort(key=lambda piece: piece[:2])

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> Sequence[Content]:
        """See ``ByteSource``; of a range that begins or ends in what is known, only the rest is read.

        Raises:
            UnextractableError: a range lies outside the file.
            RetryableError: the source failed, or gave another number of bytes than asked.
        """
        check_ranges(ranges, self.size, self.name)
        gaps = [self._gap(start, stop) for start, stop in ranges]
        came = iter(read_exactly(self._source, [gap for gap in gaps if gap is not None]))
        return [
            self._joined(start, stop) if gap is None else self._joined(start, stop, (*gap, next(came)))
            for (start, stop), gap in zip(ranges, gaps, strict=True)
        ]

    def _gap(self, start: int, stop: int) -> tuple[int, int] | None:
        """What has to be read of a range; None where all of it is known."""
        for first, last, _ in self._pieces:
            start = last if first <= start < last else start
        for first, last, _ in reversed(self._pieces):
            stop = first if first < stop <= last else stop
        return (start, stop) if start < stop else None

    def _joined(self, start: int, stop: int, came: tuple[int, int, Content] | None = None) -> Content:
        pieces = self._pieces if came is None else [*self._pieces, came]
        for first, last, part in reversed(pieces):
            if first <= start <= stop <= last:
                return part if (first, last) == (start, stop) else memoryview(part)[start - first : stop - first]
        joined = bytearray(stop - start)
        for first, last, part in pieces:
            low, high = max(first, start), min(last, stop)
            if low < high:
                joined[low - start : high - start] = memoryview(part)[low - first : high - first]
        return joined
