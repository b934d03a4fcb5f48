"""What an error of a file system means for a run, in one line that names the place and says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from distributed.errors import RetryableError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class MissingBucketError(OSError):
    """The S3 bucket itself does not exist: no retry will create it."""


@contextmanager
def writing(where: str) -> Iterator[None]:
    """Turn errors of writing into ``where`` (a folder or URI) into the project's.

    Raises:
        RetryableError: full, not permitted, not reachable: it may go well later, and nothing became visible.
        StoreError: the bucket does not exist.
    """
    try:
        yield
    except MissingBucketError as error:
        raise StoreError(f"{_line(error)}: create it first, or correct store.uri") from error
    except OSError as error:
        raise RetryableError(_write_message(error, where)) from error


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn errors of reading from or listing ``where`` into ``StoreError``."""
    try:
        yield
    except OSError as error:
        hint = "check permissions" if _forbidden(error) else "check that it is there and reachable"
        raise StoreError(f"cannot read {where}: {_line(error)} ({hint})") from error


def without_filters(path: str, model_id: str) -> StoreError:
    """The model is there, its filters are not: a store that was exported without them, or a file that was removed."""
    return StoreError(
        f"{path} is not there: the store holds no filters of model {model_id}. If it was exported with level=sketch or "
        "tables, use the one it comes from: new bases, bins and raw filters need filters; else extract the model again"
    )


def _write_message(error: OSError, where: str) -> str:
    if error.errno in _FULL:
        return f"no space left in {where}: free some or choose another place; nothing of this model was kept"
    if _forbidden(error):
        return f"no permission to write in {where}: {_line(error)} (grant it or choose another store.uri)"
    return f"cannot write in {where}: {_line(error)}"


def _forbidden(error: OSError) -> bool:
    # pyarrow's S3 errors carry no errno; s3fs gives PermissionError without one.
    return isinstance(error, PermissionError) or error.errno in _FORBIDDEN or "ACCESS_DENIED" in str(error)


def _line(error: OSError) -> str:
    """The error in one line."""
    if error.errno is not None and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())
