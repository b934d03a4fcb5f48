"""Bodies of answers with files: whole, one range, several; with what a fault makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tests.hub.faults import Fault, FaultKind
from tests.hub.repositories import RepoFile

_BOUNDARY = "loopback-hub-boundary"


class Several(StrEnum):
    """What a server does when asked for several ranges at once; all of these are allowed."""

    multipart = "206, multipart/byteranges"
    first = "206, the first of them"
    whole = "200, the whole file"
    refused = "416"


@dataclass
class Answer:
    """Status, headers, and the pieces of a body of ``length`` bytes."""

    status: int
    headers: dict[str, str]
    length: int = 0
    pieces: Iterator[bytes] = field(default_factory=lambda: iter(()))


def answer_of(file: RepoFile, asked: str | None, several: Several, fault: Fault | None) -> Answer:
    """The answer to a request for a file with this ``Range`` header."""
    kind = fault.kind if fault is not None else None
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    ranges = _ranges(asked, file.size)
    whole = Answer(200, headers, file.size, _content(file, 0, file.size, kind))
    if ranges is None or kind is FaultKind.IGNORED_RANGE:
        return whole
    if kind is FaultKind.WHOLE_BY_200 and ranges == [(0, file.size)]:
        return whole
    if len(ranges) > 1 and several is Several.whole:
        return whole
    refused = len(ranges) > 1 and several is Several.refused
    if refused or any(start >= stop for start, stop in ranges):
        return Answer(416, headers | {"Content-Range": f"bytes */{file.size}"})
    if len(ranges) == 1 or several is Several.first:
        start, stop, said = _moved(*ranges[0], file.size, kind)
        return Answer(206, headers | {"Content-Range": said}, stop - start, _content(file, start, stop, kind))
    moved = [_moved(start, stop, file.size, kind) for start, stop in ranges]
    heads = [
        f"\r\n--{_BOUNDARY}\r\nContent-Type: {headers['Content-Type']}\r\nContent-Range: {said}\r\n\r\n".encode()
        for _, _, said in moved
    ]
    tail = f"\r\n--{_BOUNDARY}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        for head, (start, stop, _) in zip(heads, moved, strict=True):
            yield head
            yield from _content(file, start, stop, kind)
        yield tail

    length = sum(stop - start for start, stop, _ in moved) + sum(len(head) for head in heads) + len(tail)
    return Answer(206, headers | {"Content-Type": f"multipart/byteranges; boundary={_BOUNDARY}"}, length, pieces())


def _ranges(asked: str | None, size: int) -> list[tuple[int, int]] | None:
    """Half-open ranges of a header; None where it asks for none that is understood."""
    specs = [re.fullmatch(r"(\d*)-(\d*)", each.strip()) for each in (asked or "").removeprefix("bytes=").split(",")]
    if not (asked or "").startswith("bytes="):
        return None
    found = []
    for spec in specs:
        if spec is None or spec[0] == "-":
            return None
        start = int(spec[1]) if spec[1] else max(0, size - int(spec[2]))
        found.append((start, min(int(spec[2]) + 1 if spec[1] and spec[2] else size, size)))
    return found


def _moved(start: int, stop: int, size: int, kind: FaultKind | None) -> tuple[int, int, str]:
    """The bytes that are sent, and what Content-Range says of them."""
    sent = 1 if kind in (FaultKind.WRONG_OFFSET, FaultKind.SHIFTED_BODY) else 0
    said = 1 if kind in (FaultKind.WRONG_OFFSET, FaultKind.LYING_RANGE) else 0
    told_size = size + (kind is FaultKind.WRONG_SIZE)
    return start + sent, stop + sent, f"bytes {start + said}-{stop + said - 1}/{told_size}"


def _content(file: RepoFile, start: int, stop: int, kind: FaultKind | None) -> Iterator[bytes]:
    sent = 0
    for piece in file.chunks(start, min(stop, file.size)):
        sent += len(piece)
        if kind is FaultKind.WRONG_BYTES:
            piece = bytes(byte ^ 0xFF for byte in piece)
        elif kind is FaultKind.FLIPPED_BIT and sent == stop - start:
            piece = piece[:-1] + bytes([piece[-1] ^ 1])
        yield piece
    yield bytes(stop - start - sent)  # moved beyond the end
