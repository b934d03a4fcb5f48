"""The answer to a request for ranges, checked for what the client does not check: which bytes these are.

Without it a server or proxy that ignores ``Range``, answers from another place, or cuts a body with a consistent header
gives wrong weights without an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from distributed.hub.client import BrokenBodyError, body_of
from distributed.hub.settings import HubAccess

#: Bytes of a whole file that are read and thrown away rather than asked for again.
MOST_WASTE = 64 * 2**10

#: Bytes of the head of one part of a multipart answer.
_MOST_HEAD = 8 * 2**10

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_BOUNDARY = re.compile(r'multipart/byteranges\s*;.*?boundary="?([^";]+)"?', re.IGNORECASE)

Range = tuple[int, int]
Piece = tuple[int, bytes | bytearray]


class Missing:
    """The bytes of a file that are still to come: half-open ranges in rising order that do not touch."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = [(start, stop) for start, stop in ranges if start < stop]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(stop - start for start, stop in self.ranges)

    def take(self, start: int, stop: int) -> list[Range]:
        """Those of the bytes ``start … stop`` that were missing; they are not any more."""
        taken, left = [], []
        for first, last in self.ranges:
            low, high = max(first, start), min(last, stop)
            if low >= high:
                left.append((first, last))
                continue
            taken.append((low, high))
            left += [each for each in ((first, low), (high, last)) if each[0] < each[1]]
        self.ranges = left
        return taken


def range_header(ranges: Sequence[Range]) -> str:
    """``bytes=0-9,20-29``."""
    return "bytes=" + ",".join(f"{start}-{stop - 1}" for start, stop in ranges)


def is_multipart(response: Any) -> bool:
    """Whether several ranges came at once."""
    return response.status_code == 206 and _boundary(response) is not None


def content_of(response: Any, asked: Sequence[Range], size: int, access: HubAccess) -> Iterator[Piece]:
    """``(place in the file, bytes)`` of what came, piece by piece; what was not asked for may be among it.

    Raises:
        BrokenBodyError: these are not the bytes asked for, end early or come too slowly. What was given is good.
    """
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise BrokenBodyError(f"the answer is compressed ({encoding})")
    body = body_of(response, access)
    boundary = _boundary(response)
    if response.status_code == 200:
        if size - sum(stop - start for start, stop in asked) > MOST_WASTE:
            raise BrokenBodyError("expected status 206, got 200: the server ignores Range")
        length = response.headers.get("Content-Length", str(size))
        if length != str(size):
            raise BrokenBodyError(f"expected a file of {size} bytes, the server has {length}")
        yield from _placed(body, 0, size)
    elif response.status_code != 206:
        raise BrokenBodyError(f"expected status 206, got {response.status_code}")
    elif boundary is not None:
        yield from _parts(_Buffered(body), boundary, asked, size)
    else:
        start, stop = _checked(response.headers.get("Content-Range", "none"), asked, size)
        yield from _placed(body, start, stop)


def _boundary(response: Any) -> bytes | None:
    match = _BOUNDARY.match(response.headers.get("Content-Type", ""))
    return match[1].encode("latin-1") if match else None


def _checked(content_range: str, asked: Sequence[Range], size: int) -> Range:
    """What a Content-Range says, if it begins one of the ranges asked for, or joins several of them."""
    match = _CONTENT_RANGE.fullmatch(content_range.strip())
    start, stop = (int(match[1]), int(match[2]) + 1) if match else (-1, -1)
    if not any(start == first for first, _ in asked) or not start < stop <= asked[-1][1]:
        wanted = range_header(asked[:1]).replace("=", " ") + (" …" if len(asked) > 1 else "")
        raise BrokenBodyError(f"expected Content-Range {wanted}/{size}, got {content_range}")
    assert match is not None
    if stop - start - sum(last - first for first, last in asked) > MOST_WASTE:
        raise BrokenBodyError(f"{stop - start} bytes came, many more than were asked for")
    if match[3] not in ("*", str(size)):
        raise BrokenBodyError(f"expected a file of {size} bytes, the server has {match[3]}")
    return start, stop


def _placed(body: Iterator[bytes], start: int, stop: int) -> Iterator[Piece]:
    place = start
    for chunk in body:
        if place + len(chunk) > stop:
            raise BrokenBodyError(f"expected {stop - start} bytes, got more")
        yield place, chunk
        place += len(chunk)
    if place != stop:
        raise BrokenBodyError(f"expected {stop - start} bytes, got {place - start} bytes")


class _Buffered:
    """A body of which the parts' heads are looked at before they are taken."""

    def __init__(self, body: Iterator[bytes]) -> None:
        self._body = body
        self.held = bytearray()

    def more(self) -> None:
        chunk = next(self._body, None)
        if chunk is None:
            raise BrokenBodyError("the answer ends within its parts")
        self.held += chunk

    def take(self, count: int) -> Iterator[bytearray]:
        """The next ``count`` bytes, in pieces."""
        while count:
            if not self.held:
                self.more()
            piece = self.held[:count]
            del self.held[:count]
            count -= len(piece)
            yield piece


def _parts(body: _Buffered, boundary: bytes, asked: Sequence[Range], size: int) -> Iterator[Piece]:
    while True:
        head = _head(body, boundary)
        if head is None:
            return
        fields = dict(line.split(":", 1) for line in head.decode("latin-1").split("\r\n") if ":" in line)
        told = next((value for name, value in fields.items() if name.lower() == "content-range"), "none")
        place, stop = _checked(told, asked, size)
        for piece in body.take(stop - place):
            yield place, piece
            place += len(piece)


def _head(body: _Buffered, boundary: bytes) -> bytes | None:
    """The head of the next part; None after the last."""
    delimiter = b"--" + boundary
    while True:
        begin = body.held.lstrip(b"\r\n")
        if begin.startswith(delimiter + b"--"):
            return None
        end = begin.find(b"\r\n\r\n")
        if end >= 0:
            if not begin.startswith(delimiter):
                raise BrokenBodyError("a part of the answer is longer than its Content-Range")
            body.held = begin[end + 4 :]
            return bytes(begin[len(delimiter) : end])
        if len(begin) > _MOST_HEAD:
            raise BrokenBodyError("a part of the answer has no head")
        body.more()
