"""A file of a Hub repository, read in verified ranges or fetched whole."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked as exported
    disable_progress_bars,
    hf_raise_for_status,
    http_stream_backoff,
)

from distributed.errors import RetryableError
from distributed.hub.client import FIRST_WAIT_SECONDS, HTTP_ERROR, RETRIES, error_from_hub, one_line, request_headers
from distributed.hub.settings import HubAccess
from distributed.local_files import check_ranges, sha256_of_file

#: Tries of one range whose answer was not what was asked, beside the client's own retries.
ATTEMPTS = 3

#: Seconds before the second of these tries; doubled before the third.
PAUSE_SECONDS = 0.5

#: Ranges of one file fetched at the same time.
PARALLEL_RANGES = 4

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class _WrongAnswerError(Exception):
    """The server answered, but not with the bytes asked for; trying again may help."""


class HubFile:
    """``ByteSource`` of one file of a Hub repository at one commit.

    Ranges are checked here, because the client does not: status 206, Content-Range and length. Otherwise a server or
    proxy that ignores ``Range``, or a body cut with a consistent header, gives wrong weights without an error.

    Args:
        repo: repository id.
        revision: commit hash.
        path: of the file within the repository.
        size: bytes, as the Hub lists them.
        sha256: as the Hub lists it for large files, else None.
        scratch: folder for whole files; its owner removes it.
        access: how the Hub is asked.
    """

    def __init__(
        self,
        repo: str,
        revision: str,
        path: str,
        size: int,
        sha256: str | None,
        scratch: Path,
        access: HubAccess = HubAccess(),
    ) -> None:
        self._access = access
        self._repo, self._revision, self._path = repo, revision, path
        self._size, self._sha256, self._scratch = size, sha256, scratch
        self._bytes_read = 0
        self._lock = threading.Lock()
        self._fetched: Path | None = None

    @property
    def name(self) -> str:
        """Path within the repository."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._size

    @property
    def bytes_read(self) -> int:
        """Bytes fetched so far, those of answers that were thrown away included; a whole file counts whole."""
        return self._bytes_read

    @property
    def verified_sha256(self) -> str | None:
        """The digest that the Hub lists, if the whole file was fetched and has it."""
        return self._sha256 if self._fetched is not None else None

    @property
    def what(self) -> str:
        """``repository@revision/file``, for messages."""
        return f"{self._repo}@{self._revision[:10]}/{self._path}"

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytearray]:
        """The bytes of each half-open ``(start, stop)`` range, in the order asked.

        Raises:
            UnextractableError: a range lies outside the file; the repository is gated, gone or private.
            RetryableError: the network failed, or the server kept answering with other bytes than asked.
            PermanentError: the server refuses the request.
        """
        check_ranges(ranges, self._size, self._path)
        if len(ranges) < 2:
            return [self._fetch(start, stop) for start, stop in ranges]
        with ThreadPoolExecutor(min(PARALLEL_RANGES, len(ranges)), "hub-range") as pool:
            return list(pool.map(self._fetch, *zip(*ranges, strict=True)))

    def _fetch(self, start: int, stop: int) -> bytearray:
        if start == stop:
            return bytearray()
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                return self._request(start, stop)
            except _WrongAnswerError as error:
                problem = str(error)
            except (HTTP_ERROR, OSError) as error:
                raise error_from_hub(error, self.what, self._path, self._scratch) from error
        raise RetryableError(f"{self.what}: bytes {start}-{stop - 1} asked {ATTEMPTS} times, {problem}")

    def _request(self, start: int, stop: int) -> bytearray:
        # Compressed answers have other offsets and lengths; some CDNs ignore Range when asked for gzip.
        headers = request_headers({"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"})
        url = hf_hub_url(self._repo, self._path, revision=self._revision, endpoint=constants.ENDPOINT)
        retries: dict[str, Any] = {
            "timeout": constants.HF_HUB_DOWNLOAD_TIMEOUT,
            "max_retries": RETRIES,
            "base_wait_time": FIRST_WAIT_SECONDS,
        }
        cut: Exception | None = None
        content = bytearray()
        try:
            with http_stream_backoff("GET", url, headers=headers, **retries) as response:
                hf_raise_for_status(response)
                self._check_header(response, start, stop)
                # An error of the body must not pass through the client's context manager: it would retry inside it.
                try:
                    for chunk in response.iter_raw():
                        content += chunk
                        if len(content) > stop - start:
                            break
                except (HTTP_ERROR, RuntimeError) as error:
                    cut = error
        except RuntimeError as error:
            # The client closes its shared session after a failed connection, under the other threads' requests.
            cut = error
        finally:
            with self._lock:
                self._bytes_read += len(content)
        if cut is not None:
            raise _WrongAnswerError(f"the body broke off after {len(content)} bytes ({one_line(cut)})") from cut
        if len(content) != stop - start:
            comparison = "more" if len(content) > stop - start else f"{len(content)} bytes"
            raise _WrongAnswerError(f"expected {stop - start} bytes, got {comparison}")
        return content

    def _check_header(self, response: Any, start: int, stop: int) -> None:
        if response.status_code != 206:
            raise _WrongAnswerError(f"expected status 206, got {response.status_code}: the server ignores Range")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _WrongAnswerError(f"the answer is compressed ({response.headers['Content-Encoding']})")
        found = response.headers.get("Content-Range", "none")
        match = _CONTENT_RANGE.fullmatch(found)
        if match is None or (match[1], match[2]) != (str(start), str(stop - 1)):
            raise _WrongAnswerError(f"expected Content-Range bytes {start}-{stop - 1}/{self._size}, got {found}")
        if match[3] not in ("*", str(self._size)):
            raise _WrongAnswerError(f"expected a file of {self._size} bytes, the server has {match[3]}")

    def local_path(self) -> Path:
        """The whole file, from the user's Hub cache if it is there, else fetched into ``scratch``; content verified.

        Raises:
            UnextractableError: the repository is gated, gone or private.
            RetryableError: the network failed, no space is left, or the content is not what the Hub lists.
            PermanentError: the server refuses the request.
        """
        if self._fetched is None:
            self._fetched = self._from_cache() or self._download()
            with self._lock:
                self._bytes_read += self._size
        return self._fetched

    def _from_cache(self) -> Path | None:
        cached = try_to_load_from_cache(
            self._repo, self._path, cache_dir=constants.HF_HUB_CACHE, revision=self._revision
        )
        # A cached file that is not what the Hub lists is left to its owner, and fetched again here.
        if isinstance(cached, str) and self._mismatch(Path(cached)) is None:
            return Path(cached)
        return None

    def _download(self) -> Path:
        if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
            disable_progress_bars()  # the run has its own
        folder = self._scratch / self._repo.replace("/", "--") / self._revision
        try:
            fetched = Path(
                hf_hub_download(
                    self._repo,
                    self._path,
                    revision=self._revision,
                    endpoint=constants.ENDPOINT,
                    local_dir=folder,
                    cache_dir=folder,  # or it copies from the user's cache, without a look at the content
                )
            )
        except Exception as error:
            # The client's own errors, its HTTP library's, hf_xet's and the file system's have no common base.
            raise error_from_hub(error, self.what, self._path, self._scratch) from error
        mismatch = self._mismatch(fetched)
        if mismatch is not None:
            fetched.unlink()  # or the client would take it for done at the next try
            raise RetryableError(f"{self.what}: {mismatch}: the download is damaged")
        return fetched

    def _mismatch(self, path: Path) -> str | None:
        found_size = path.stat().st_size
        if found_size != self._size:
            return f"expected {self._size} bytes, got {found_size}"
        if self._sha256 is not None:
            found = sha256_of_file(path, self._path)
            if found != self._sha256:
                return f"expected SHA-256 {self._sha256}, got {found}"
        return None
