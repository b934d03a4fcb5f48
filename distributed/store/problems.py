"""What an error of a file system means for a run, in one line that names the place and says what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from distributed.errors import RetryableError, StoreError, UnusableStoreError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
#: What will be the same however often it is asked again.
_SETTLED = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

#: What S3 and services that speak it call credentials that don't hold, or no longer.
_CREDENTIALS = (
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClient",
)
#: In the texts of pyarrow's S3 errors, which carry nothing but text; its names of codes are spelled INVALID_ACCESS_KEY.
_CREDENTIALS_IN_TEXT = re.compile(
    "|".join((*_CREDENTIALS, *(re.sub("(?<=[a-z])(?=[A-Z])", "_", c).upper() for c in _CREDENTIALS)))
)


class MissingBucketError(OSError):
    """The S3 bucket itself does not exist: no retry will create it."""


class CredentialsError(PermissionError):
    """There are no credentials, or they don't hold."""


@contextmanager
def writing(where: str) -> Iterator[None]:
    """Turn errors of writing into ``where``, the store, into the project's.

    Raises:
        UnusableStoreError: full, not permitted, no credentials, no bucket: the same for every model.
        RetryableError: not reachable, or failing: it may go well later, and nothing became visible.
    """
    try:
        yield
    except OSError as error:
        if (what := _whole(error, where)) is not None:
            raise UnusableStoreError(what) from error
        raise RetryableError(f"cannot write in {where}: {_line(error)}") from error


@contextmanager
def staging_on_node(where: str) -> Iterator[None]:
    """Turn errors of writing into ``where``, a folder of this machine alone, into the project's.

    Raises:
        RetryableError: another node may have the room or the permission that this one lacks.
    """
    try:
        yield
    except OSError as error:
        raise RetryableError(_whole(error, where) or f"cannot write in {where}: {_line(error)}") from error


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn errors of reading from or listing ``where`` into the project's.

    Raises:
        UnusableStoreError: not permitted, no credentials, no bucket.
        StoreError: there is nothing, or nothing of this kind.
        RetryableError: not reachable, or failing: it may go well later.
    """
    try:
        yield
    except OSError as error:
        if (what := _whole(error, where, is_read=True)) is not None:
            raise UnusableStoreError(what) from error
        if isinstance(error, _SETTLED):
            raise StoreError(f"cannot read {where}: {_line(error)} (check that it is there)") from error
        raise RetryableError(f"cannot read {where}: {_line(error)} (try again once it is reachable)") from error


def without_filters(path: str, model_id: str) -> StoreError:
    """The model is there, its filters are not: a store that was exported without them, or a file that was removed."""
    return StoreError(
        f"{path} is not there: the store holds no filters of model {model_id}. If it was exported with level=sketch or "
        "tables, use the one it comes from: new bases, bins and raw filters need filters; else extract the model again"
    )


def is_of_credentials(code: str) -> bool:
    """Whether an error code of S3 says that credentials don't hold."""
    return code.startswith(_CREDENTIALS)


def _whole(error: OSError, where: str, *, is_read: bool = False) -> str | None:
    """What is wrong with all of ``where``, and what to do; None where it may be this one file."""
    if isinstance(error, MissingBucketError) or "NO_SUCH_BUCKET" in str(error):
        return f"{_line(error)}: create it first, or correct store.uri"
    if error.errno in _FULL:
        return f"no space left in {where}: free some or choose another place, then run again"
    if isinstance(error, CredentialsError) or _CREDENTIALS_IN_TEXT.search(str(error)):
        advice = "set or renew AWS_ACCESS_KEY_ID … or the role, then run again"
        return f"no valid credentials for {where}: {_line(error)} ({advice})"
    # pyarrow's S3 errors carry no errno; s3fs gives PermissionError without one.
    if isinstance(error, PermissionError) or error.errno in _FORBIDDEN or "ACCESS_DENIED" in str(error):
        if is_read:
            return f"cannot read {where}: {_line(error)} (no permission: grant it, then run again)"
        return f"no permission to write in {where}: {_line(error)} (grant it or choose another store.uri)"
    return None


def _line(error: OSError) -> str:
    """The error in one line."""
    if error.errno is not None and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())
