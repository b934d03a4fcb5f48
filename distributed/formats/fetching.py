"""Parts of files fetched together: in few ranges, and each part then a view of what came."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from distributed.errors import RetryableError
from distributed.formats.base import ByteSource, Content
from distributed.formats.range_plan import Range, merge_ranges


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``start`` to ``stop`` of a file."""

    source: ByteSource
    start: int
    stop: int


class Fetched:
    """What was fetched for some parts. It keeps the memory of all of them.

    Args:
        parts: to fetch; those of one file in one call, merged where little lies between them.

    Raises:
        UnextractableError: a part lies outside its file.
        RetryableError: reading failed for a reason that may pass.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        asked: dict[int, tuple[ByteSource, list[Range]]] = {}
        for part in parts:
            asked.setdefault(id(part.source), (part.source, []))[1].append((part.start, part.stop))
        self._found: dict[int, tuple[list[Range], Sequence[Content]]] = {}
        for key, (source, wanted) in asked.items():
            ranges = merge_ranges(wanted)
            self._found[key] = ranges, read_exactly(source, ranges)

    def __contains__(self, part: Part) -> bool:
        return part.start >= part.stop or self._place(part) is not None

    def view(self, part: Part) -> memoryview:
        """The bytes of a part, or of a piece of one."""
        if part.start >= part.stop:
            return memoryview(b"")
        place = self._place(part)
        if place is None:
            raise KeyError(f"bytes {part.start} … {part.stop} were not fetched")
        first, data = place
        return memoryview(data)[part.start - first : part.stop - first]

    def _place(self, part: Part) -> tuple[int, Content] | None:
        """Where the range that holds a part begins, and its bytes."""
        ranges, data = self._found.get(id(part.source), ([], []))
        index = bisect_right(ranges, (part.start, part.source.size)) - 1
        if index < 0 or part.stop > ranges[index][1]:
            return None
        return ranges[index][0], data[index]


def read_exactly(source: ByteSource, ranges: Sequence[Range]) -> Sequence[Content]:
    """The bytes of some ranges of a file, of each as many as asked.

    Raises:
        UnextractableError: a range lies outside the file.
        RetryableError: reading failed, or gave another number of bytes.
    """
    data = source.read_ranges(ranges) if ranges else []
    for (start, stop), part in zip(ranges, data, strict=True):
        if len(part) != stop - start:
            raise RetryableError(f"{source.name}: {len(part)} bytes came for the range {start} … {stop}; try again")
    return data
