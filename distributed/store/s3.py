"""Writing to S3 and services that speak it, by s3fs: whole objects, conditional creation."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import s3fs
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from distributed.store.location import Location
from distributed.store.problems import CredentialsError, MissingBucketError, is_of_credentials, staging_on_node
from distributed.store.staging import temporary_folder

#: Parts of a multipart upload, and how many are in memory at a time: 64 MiB a writer.
_PART_BYTES, _PARTS_AT_ONCE = 16 * 1024**2, 4
#: Of botocore's standard mode, with exponential back-off.
_REQUEST_ATTEMPTS = 10
#: How often a creation that met another one under way is tried again, and the pause in seconds.
_CONFLICT_ATTEMPTS, _CONFLICT_PAUSE = 6, 0.5
#: How services that don't know ``If-None-Match`` on writes say so.
_UNKNOWN_CONDITION = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "MethodNotAllowed", "405"}
_EXISTS = {"PreconditionFailed", "412"}
_CONFLICT = {"ConditionalRequestConflict", "OperationAborted", "409"}
#: How services with a disk or a quota of their own say that it is full.
_FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "507"}
_NO_BUCKET = {"NoSuchBucket", "404"}


class S3Backend:
    """A bucket and prefix. An object appears whole or not at all; ``If-None-Match: *`` makes a creation exclusive.

    Where the service refuses the condition, creation is look-then-put: two writers in the same instant may then both
    believe that they made it, and the object is whole and the last one's.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._s3 = s3fs.S3FileSystem(
            endpoint_url=location.settings.endpoint_url,
            client_kwargs={"region_name": location.settings.region},
            config_kwargs={"retries": {"mode": "standard", "max_attempts": _REQUEST_ATTEMPTS}},
            max_concurrency=_PARTS_AT_ONCE,
            use_listings_cache=False,
        )

    @property
    def place(self) -> str:
        return self._location.settings.uri

    def staging_folder(self) -> Path:
        return temporary_folder()

    def staging_errors(self) -> AbstractContextManager[None]:
        return staging_on_node(tempfile.gettempdir())

    def prepare(self) -> None:
        with self._errors():  # a listing: refused, it says why, which a HEAD, without a body, does not
            self._s3.call_s3("list_objects_v2", Bucket=self._location.bucket, MaxKeys=1)

    def exists(self, path: str) -> bool:
        # Likewise the first byte, which costs what a HEAD does.
        with self._errors():
            try:
                self._s3.cat_file(self._key(path), start=0, end=1)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return False
        return True

    def publish(self, file: Path, path: str) -> None:
        with self._errors():
            self._s3.put_file(str(file), self._key(path), chunksize=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def publish_new(self, file: Path, path: str) -> bool:
        data = file.read_bytes()
        with self._errors():
            return self._create(self._key(path), data)

    def write(self, path: str, data: bytes) -> None:
        with self._errors():
            self._s3.pipe_file(self._key(path), data)

    def remove(self, path: str) -> None:
        with self._errors():
            self._s3.rm_file(self._key(path))

    def _key(self, path: str) -> str:
        return f"{self._location.root}/{path}"

    def _create(self, key: str, data: bytes) -> bool:
        for attempt in range(_CONFLICT_ATTEMPTS):
            try:
                self._s3.pipe_file(key, data, mode="create")
            except OSError as error:
                code = _code(error)
                if isinstance(error, FileExistsError) or code in _EXISTS:
                    # The answer to our own creation may have been lost and the request repeated: then it is ours.
                    # A models row names its writer, so equal bytes mean this one.
                    return bool(self._s3.cat_file(key) == data)
                if code in _UNKNOWN_CONDITION:
                    return self._look_then_put(key, data)
                if code not in _CONFLICT or attempt == _CONFLICT_ATTEMPTS - 1:
                    raise
                time.sleep(_CONFLICT_PAUSE)
            else:
                return True
        raise AssertionError("unreachable")

    def _look_then_put(self, key: str, data: bytes) -> bool:
        if self._s3.exists(key):
            return False
        self._s3.pipe_file(key, data)
        return True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """botocore's errors as ``OSError``; those of credentials, the bucket and its room as their own."""
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise CredentialsError(str(error)) from error
        except (BotoCoreError, ClientError) as error:
            raise ConnectionError(str(error)) from error
        except OSError as error:
            code = _code(error) or ""
            if is_of_credentials(code):
                raise CredentialsError(f"{code}: {error.strerror or error}") from error
            if code in _FULL:
                raise OSError(errno.ENOSPC, f"{code}: {error.strerror or error}") from error
            if isinstance(error, FileNotFoundError) and code in _NO_BUCKET:
                raise MissingBucketError(f"bucket {self._location.bucket!r} does not exist") from error
            raise


def _code(error: OSError) -> str | None:
    """The service's error code behind an error that s3fs translated."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        code: str = cause.response.get("Error", {}).get("Code", "")
        return code
    return None
