"""The errors this project raises on purpose.

The type of an error says what may be done about it, so that no caller ever reads its text:

* ``UserError``: what was asked for cannot be done as asked (settings, paths, overrides). Ends the command, exit code 2.
* ``UnusableStoreError``, one of these: nothing can be done with the store by anybody. Met by an actor it ends the run.
* ``UnextractableError``: a permanent fact about one model. It is recorded as a skip, never tried again unasked.
* ``RetryableError``: the same call may go well later (network, a node, a full disk). Tried again up to the limit.
* ``PermanentError``: it failed and would fail again. Recorded as a failure at once.

Every message is one line that names the place and says what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

#: What steers a terminal: colours, cursors, titles.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def in_one_line(text: str) -> str:
    """The text without line breaks, colours and escape codes, other control characters as ``\\xNN``.

    Names of files and models, and logs, may hold some, and terminals obey.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", " ".join(_ESCAPES.sub("", text).splitlines()))


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something; the error's type where it has no text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class FilterShiftError(Exception):
    """Base of every error raised on purpose; ``str(error)`` is one line for the user, whatever names stand in it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(in_one_line(message))


class UserError(FilterShiftError):
    """The request itself is wrong: the command ends and nothing is lost."""


class SourceError(UserError):
    """A source cannot list its models (no such folder, no network, unknown repository)."""


class StoreError(UserError):
    """The store cannot be opened, read or written as a whole."""


class UnusableStoreError(StoreError):
    """The whole store is out of reach until a person acts: permission, credentials, bucket, room.

    It is no fact about the model that met it: a run that meets it ends, and charges no model.
    """


class ClusterError(UserError):
    """There is no Ray, or none of its nodes can do the work."""


class RetryableError(FilterShiftError):
    """One model failed for a reason that may pass."""


class PermanentError(FilterShiftError):
    """One model failed for a reason that will not pass by itself."""


class SkipReason(StrEnum):
    """Why a listed model holds nothing to extract."""

    GATED = "gated"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    UNSAFE_PICKLE = "unsafe_pickle"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NON_FINITE = "non_finite"
    NO_3X3_CONVOLUTION = "no_3x3_convolution"
    DUPLICATE_OF = "duplicate_of"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the input something is wrong; unknown parts are None.

    ``file`` is the file within the model, ``tensor`` the parameter name, ``expected`` and ``found`` short texts.
    """

    file: str | None = None
    tensor: str | None = None
    expected: str | None = None
    found: str | None = None


#: No place is known.
NOWHERE = Place()


class UnextractableError(FilterShiftError):
    """A permanent property of the input: the model is skipped, with the reason and the place."""

    def __init__(self, reason: SkipReason, message: str, place: Place = NOWHERE) -> None:
        super().__init__(message)
        self.reason = reason
        self.place = place

    def __reduce__(self) -> tuple[type[UnextractableError], tuple[SkipReason, str, Place]]:
        # Exceptions cross process boundaries in Ray; the default pickling would drop reason and place.
        return (UnextractableError, (self.reason, str(self), self.place))
