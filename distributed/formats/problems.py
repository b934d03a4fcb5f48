"""One-line errors about a file's content, with the place, made the same way by every format."""

from __future__ import annotations

from distributed.errors import Place, SkipReason, UnextractableError


def unreadable(
    file: str, what: str, *, tensor: str | None = None, expected: str | None = None, found: str | None = None
) -> UnextractableError:
    """The file is damaged, truncated or contradicts itself."""
    return _problem(SkipReason.UNREADABLE, file, what, tensor, expected, found)


def unsupported(file: str, what: str, *, expected: str | None = None, found: str | None = None) -> UnextractableError:
    """The file is sound, as far as can be told, but not a checkpoint that is read here."""
    return _problem(SkipReason.UNSUPPORTED_FORMAT, file, what, None, expected, found)


def unsafe_pickle(file: str, what: str, *, found: str) -> UnextractableError:
    """The file would run something that no weights need."""
    return _problem(SkipReason.UNSAFE_PICKLE, file, what, None, "a pickle of data alone", found)


def _problem(
    reason: SkipReason, file: str, what: str, tensor: str | None, expected: str | None, found: str | None
) -> UnextractableError:
    place = f"{file}: {tensor!r}" if tensor else file
    details = [f"expected {expected}" if expected else "", f"found {found}" if found else ""]
    tail = ", ".join(detail for detail in details if detail)
    # The message promises one line; names inside a hostile file may hold line breaks.
    message = " ".join(f"{place}: {what}{f' ({tail})' if tail else ''}".split())
    return UnextractableError(reason, message, Place(file=file, tensor=tensor, expected=expected, found=found))
