"""From settings to a place: which file system, which root, which endpoint; fixed where the run starts."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.fs as pafs

from distributed.errors import StoreError
from distributed.store.settings import StoreSettings

#: AWS SDK's standard retries: pyarrow's default gives up after two consecutive errors, this survives nine.
_S3_ATTEMPTS = 10
#: Seconds. The SDK's own default of 3 s for a request is too short for a loaded service.
_S3_CONNECT_TIMEOUT, _S3_REQUEST_TIMEOUT = 10.0, 60.0
#: Seconds that ``probe`` tries for, and between its tries: a service may be restarting.
_PROBE_SECONDS, _PROBE_PAUSE = 5.0, 1.0


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store is, after everything that depends on this process (folder, environment) is settled.

    Attributes:
        settings: the same place as settings that mean the same in every process.
        root: absolute folder, or ``bucket/prefix``.
        is_s3: which of the two.
    """

    settings: StoreSettings
    root: str
    is_s3: bool

    @property
    def bucket(self) -> str:
        """Of an S3 location."""
        return self.root.partition("/")[0]

    def arrow_filesystem(self) -> pafs.FileSystem:
        """A new native pyarrow file system whose paths start with ``root``."""
        if not self.is_s3:
            return pafs.LocalFileSystem()
        options: dict[str, object] = {}
        if self.settings.endpoint_url is not None:
            endpoint = urlsplit(self.settings.endpoint_url)
            options = {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc + endpoint.path.rstrip("/")}
        return pafs.S3FileSystem(
            region=self.settings.region,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=_S3_ATTEMPTS),
            connect_timeout=_S3_CONNECT_TIMEOUT,
            request_timeout=_S3_REQUEST_TIMEOUT,
            **options,
        )


def probe(location: Location) -> None:
    """See that something listens at the endpoint, within ``_PROBE_SECONDS``: the SDK's own retries would hold a wrong
    one for minutes.

    Raises:
        StoreError: nothing does.
    """
    if location.is_s3:
        _see_that_it_answers(location.settings.endpoint_url or _aws(location.settings.region or ""))


def _aws(region: str) -> str:
    """AWS' own endpoint."""
    return f"https://s3.{region and f'{region}.'}amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _see_that_it_answers(url: str) -> None:
    endpoint, end = urlsplit(url), time.monotonic() + _PROBE_SECONDS
    address = endpoint.hostname or "", endpoint.port or (443 if endpoint.scheme == "https" else 80)
    while True:
        try:
            socket.create_connection(address, timeout=max(0.1, end - time.monotonic())).close()
        except OSError as error:
            if time.monotonic() + _PROBE_PAUSE > end:
                raise StoreError(
                    f"nothing answers at {url}: {error.strerror or error} "
                    "(check store.endpoint_url or AWS_ENDPOINT_URL, and the network)"
                ) from error
            time.sleep(_PROBE_PAUSE)
        else:
            return


def locate(settings: StoreSettings) -> Location:
    """Settle ``settings``: relative folders become absolute, endpoint and region are read from the environment.

    Ray's workers run elsewhere, in other folders and environments: what is not settled here would be settled
    differently there.

    Raises:
        StoreError: not a folder, ``file://`` or ``s3://``; a malformed endpoint; a region that can't be found out.
    """
    uri = settings.uri.strip()
    scheme, separator, rest = uri.partition("://")
    if not uri:
        raise StoreError("store.uri is empty: give a folder, file:///folder or s3://bucket/prefix")
    if not separator:
        return _local(settings, Path(uri))
    if scheme == "file":
        host, slash, path = rest.partition("/")
        if host not in ("", "localhost") or not slash:
            raise StoreError(f"store.uri {uri!r} names another machine: write file:///folder")
        return _local(settings, Path(unquote("/" + path)))
    if scheme == "s3":
        return _s3(settings, rest.strip("/"))
    raise StoreError(
        f"store.uri {uri!r}: {scheme}:// is not supported; use a folder, file:///folder or s3://bucket/prefix"
    )


def _local(settings: StoreSettings, path: Path) -> Location:
    # Not resolved: a link to the place stays one. normpath only removes "." and "..".
    root = os.path.normpath(path.expanduser().absolute())
    if os.path.exists(root) and not os.path.isdir(root):
        raise StoreError(f"store.uri {settings.uri!r} is a file: give a folder")
    return Location(StoreSettings(root), root, False)


def _s3(settings: StoreSettings, root: str) -> Location:
    if not root or "//" in root:
        raise StoreError(f"store.uri {settings.uri!r} must be s3://bucket/prefix")
    environment = os.environ.get
    endpoint = settings.endpoint_url or environment("AWS_ENDPOINT_URL_S3") or environment("AWS_ENDPOINT_URL") or None
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise StoreError(f"store.endpoint_url {endpoint!r}: write http://host:port or https://host")
    region = settings.region or environment("AWS_REGION") or environment("AWS_DEFAULT_REGION") or None
    if region is None:
        region = "us-east-1" if endpoint is not None else _bucket_region(root.partition("/")[0])
    return Location(replace(settings, uri=f"s3://{root}", endpoint_url=endpoint, region=region), root, True)


def _bucket_region(bucket: str) -> str:
    """The region AWS says a bucket is in."""
    _see_that_it_answers(_aws(""))
    try:
        region: str = pafs.resolve_s3_region(bucket)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"cannot find the region of bucket {bucket!r}: {reason} (set store.region, or store.endpoint_url for a "
            "service other than AWS)"
        ) from error
    return region
