"""What goes wrong on purpose."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What goes wrong with a response. Values that begin with a status of 400 or more are answers without content."""

    BAD_REQUEST = "400"
    UNAUTHORISED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    LEGAL = "451"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    UNKNOWN = "520"
    TOO_MANY = "429, with Retry-After: 0"
    TOO_MANY_BARE = "429, with no header"
    RESET = "connection reset"
    CUT_BODY = "the header promises all, half the body comes"
    CUT_AT = "the header promises all, `size` bytes of body come"
    SHORT_BODY = "half the body, and a Content-Length that says so"
    IGNORED_RANGE = "200 and the whole file"
    WHOLE_BY_200 = "200 where the range asked for is the whole file"
    WRONG_OFFSET = "206 with bytes one further, and a Content-Range that says so"
    LYING_RANGE = "206 with the bytes asked for, and a Content-Range one further"
    SHIFTED_BODY = "206 with bytes one further, and the Content-Range asked for"
    WRONG_SIZE = "206, and a Content-Range with another size of the file"
    WRONG_BYTES = "the right length, other content"
    FLIPPED_BIT = "the right length, one bit of the last byte is another"
    SILENCE = "no answer"
    STALL = "`size` bytes of body, then silence"
    TRICKLE = "`rate` bytes of body a second"

    @property
    def status(self) -> int | None:
        """Of an answer without content; None where the answer has some, or there is none."""
        digits = self.value.partition(",")[0]
        return int(digits) if digits.isdigit() and int(digits) >= 400 else None


@dataclass
class Fault:
    """``kind`` happens to ``times`` requests whose ``origin METHOD /path`` matches, after ``after`` of them.

    ``every``: only each n-th of the matching ones fails. ``headers`` and ``code`` (X-Error-Code) are those of an answer
    without content, in place of its usual ones. ``size`` is of CUT_AT and STALL (bytes), ``rate`` of TRICKLE (bytes/s).
    """

    kind: FaultKind
    pattern: str = "GET .*/resolve/"
    times: int = 1
    after: int = 0
    every: int = 1
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 4096
    rate: int = 20_000

    def applies(self, line: str) -> bool:
        """Count this request; whether it is one that fails."""
        if self.times <= 0 or not re.search(self.pattern, line):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.after = self.every - 1
        self.times -= 1
        return True

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self) | {"kind": self.kind.name}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Fault:
        """The inverse of ``to_json``."""
        return cls(**{**given, "kind": FaultKind[given["kind"]]})
