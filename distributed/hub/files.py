"""A file of a Hub repository, read in checked ranges or fetched whole."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from distributed.errors import PermanentError, RetryableError
from distributed.hub.addresses import Address
from distributed.hub.bodies import Missing, Range, content_of, is_multipart, range_header
from distributed.hub.client import BrokenBodyError, SlowBodyError
from distributed.hub.downloads import fetched_once
from distributed.hub.refusals import RangesRefusedError
from distributed.hub.settings import HubAccess, Verify
from distributed.hub.waits import Patience
from distributed.local_files import LocalFile, check_ranges, error_from_disk, sha256_of_file

#: Tries in a row that brought less than ``PROGRESS_BYTES``, or came too slowly, before ranges are given up; seconds
#: before the second, doubled with each.
ATTEMPTS = 4
PROGRESS_BYTES = 256 * 2**10
PAUSE_SECONDS = 0.5

#: Smaller files are fetched whole, once.
SMALL_BYTES = 64 * 2**10

#: Of one request: bytes, and ranges (a header of 2 kB, in rising order: what CDNs take).
LARGEST_BYTES = 32 * 2**20
MOST_RANGES = 64

#: Requests for one file at the same time.
PARALLEL = 4

#: Host → answers in a row that ignored all but one of several ranges: it is asked for one at a time after a few.
_ignoring: Counter[str] = Counter()
_MOST_IGNORED = 2

Write = Callable[[int, memoryview], None]


class HubFile:
    """``ByteSource`` of one file of a Hub repository at one commit.

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
        self._repo, self._revision, self._path = repo, revision, path
        self._size, self._sha256, self._scratch, self._access = size, sha256, scratch, access
        self._address = Address(repo, revision, path, self.what, access)
        self._bytes_read = 0
        self._lock, self._counting = threading.RLock(), threading.Lock()
        self._one_by_one = False
        self._small: bytearray | None = None
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
        """Bytes fetched so far, those thrown away included; a file from the user's cache counts whole."""
        return self._bytes_read

    @property
    def verified_sha256(self) -> str | None:
        """The digest that the Hub lists, if the whole file was fetched and has it."""
        return self._sha256 if self._fetched is not None or self._small is not None else None

    @property
    def what(self) -> str:
        """``repository@revision/file``, for messages."""
        return f"{self._repo}@{self._revision[:10]}/{self._path}"

    def read_ranges(self, ranges: Sequence[Range]) -> Sequence[bytearray | memoryview]:
        """The bytes of each half-open ``(start, stop)`` range, in the order asked.

        A small file is fetched whole, and so is every file with ``hub.verify=whole``.

        Raises:
            UnextractableError: a range lies outside the file; the repository is gated, gone or private.
            RetryableError: network or server failed, or kept answering with other bytes than asked.
            PermanentError: the Hub refuses the request.
        """
        check_ranges(ranges, self._size, self._path)
        if self._size <= SMALL_BYTES:
            content = self._whole_small() if any(start < stop for start, stop in ranges) else bytearray()
            return [content[start:stop] for start, stop in ranges]
        if self._access.verify is Verify.whole:
            return LocalFile(self.local_path(), self._path).read_ranges(ranges)
        buffers = {(start, stop): bytearray(stop - start) for start, stop in _joined(ranges)}
        self._fetch_all(_requests(buffers), lambda place, piece: _write_into(buffers, place, piece))
        return [_of(buffers, start, stop) for start, stop in ranges]

    def local_path(self) -> Path:
        """The whole file, from the user's Hub cache if it is there, else fetched into ``scratch``; content verified.

        Raises:
            UnextractableError: the repository is gated, gone or private.
            RetryableError: the network failed, no space is left, or the content is not what the Hub lists.
            PermanentError: the Hub refuses the request.
        """
        with self._lock:
            if self._fetched is None:
                self._place()
                self._fetched = self._from_cache() or self._fetched_once()
            return self._fetched

    def _whole_small(self) -> bytearray:
        with self._lock:
            if self._small is None:
                content = bytearray(self._size)
                buffers = {(0, self._size): content}
                self._fetch(list(buffers), lambda place, piece: _write_into(buffers, place, piece))
                found = hashlib.sha256(content).hexdigest()
                if self._sha256 is not None and found != self._sha256:
                    raise RetryableError(f"{self.what}: {_damaged(self._sha256, found)}")
                self._small = content
            return self._small

    def _fetch_all(self, requests: Sequence[Sequence[Range]], write: Write) -> None:
        if len(requests) < 2:
            for ranges in requests:
                self._fetch(ranges, write)
            return
        with ThreadPoolExecutor(min(PARALLEL, len(requests)), "hub-range") as pool:
            list(pool.map(lambda ranges: self._fetch(ranges, write), requests))

    def _fetch(self, ranges: Sequence[Range], write: Write) -> None:
        """Ask for ``ranges`` until all of them came; what came before an answer broke off is not asked for again."""
        missing, patience = Missing(ranges), Patience(self.what, self._access)
        failures, problem = 0, "they came in part"
        while missing.ranges:
            if len(missing.ranges) > 1 and (self._one_by_one or _ignoring[self._address.host] >= _MOST_IGNORED):
                return self._fetch_all([[each] for each in missing.ranges], write)
            before, is_slow, asked = missing.size, False, list(missing.ranges)
            try:
                self._ask(missing, write)
            except BrokenBodyError as error:
                problem, is_slow = str(error), isinstance(error, SlowBodyError)
            except RangesRefusedError as error:
                problem = str(error)
                self._learn(asked, is_several=False)
            if self._one_by_one and len(asked) > 1:
                continue
            came = before - missing.size
            failures = 0 if missing.size == 0 or (came >= PROGRESS_BYTES and not is_slow) else failures + 1
            if failures >= ATTEMPTS:
                first, last = asked[0][0], asked[-1][1] - 1
                raise RetryableError(f"{self.what}: bytes {first}-{last} asked {ATTEMPTS} times, {problem}")
            if failures:
                patience.pause(PAUSE_SECONDS * 2 ** (failures - 1), problem)

    def _ask(self, missing: Missing, write: Write) -> None:
        # Compressed answers have other offsets and lengths; some CDNs ignore Range when asked for gzip.
        headers = {"Range": range_header(missing.ranges), "Accept-Encoding": "identity"}
        with closing(self._address.send(headers)) as response:
            asked = list(missing.ranges)
            self._learn(asked, is_several=is_multipart(response))
            for place, piece in content_of(response, asked, self._size, self._access):
                with self._counting:
                    self._bytes_read += len(piece)
                view = memoryview(piece)
                for start, stop in missing.take(place, place + len(piece)):
                    write(start, view[start - place : stop - place])

    def _learn(self, asked: Sequence[Range], *, is_several: bool) -> None:
        """Whether several ranges at once are understood: else this file, and in the end the host, is asked for each."""
        if len(asked) > 1:
            host = self._address.host
            _ignoring[host] = 0 if is_several else _ignoring[host] + 1
            self._one_by_one = not is_several

    def _fetched_once(self) -> Path:
        if self._size <= SMALL_BYTES:
            return self._download()
        what = f"{constants.ENDPOINT}/{self._repo}@{self._revision}/{self._path}"
        return fetched_once(what, self._scratch, self._download, lambda path: self._mismatch(path) is None)[0]

    def _from_cache(self) -> Path | None:
        cached = try_to_load_from_cache(
            self._repo, self._path, cache_dir=constants.HF_HUB_CACHE, revision=self._revision
        )
        # A cached file that is not what the Hub lists is left to its owner, and fetched again here.
        if isinstance(cached, str) and self._mismatch(Path(cached)) is None:
            self._bytes_read += self._size
            return Path(cached)
        return None

    def _place(self) -> Path:
        """Where the file is put, in scratch.

        Raises:
            PermanentError: what the listing calls it leads elsewhere.
        """
        path = self._scratch / self._repo.replace("/", "--") / self._revision / self._path
        if ".." in path.parts or not path.is_relative_to(self._scratch):  # absolute: replaces what it is joined to
            raise PermanentError(f"{self.what}: leads out of its repository")
        return path

    def _download(self) -> Path:
        path = self._place()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # what an earlier try wrote may have another name in another process
            with path.open("wb") as file:
                if self._size <= SMALL_BYTES:
                    file.write(self._whole_small())
                else:
                    requests = _requests([(0, self._size)])
                    self._fetch_all(requests, lambda place, piece: _write_at(file.fileno(), place, piece))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise error_from_disk(error, self._scratch, self.what) from error
            raise RetryableError(f"{self.what}: cannot be written to {self._scratch} ({error.strerror})") from error
        mismatch = self._mismatch(path)
        if mismatch is not None:
            path.unlink()
            raise RetryableError(f"{self.what}: {mismatch}")
        return path

    def _mismatch(self, path: Path) -> str | None:
        found_size = path.stat().st_size
        if found_size != self._size:
            return f"expected {self._size} bytes, got {found_size}"
        if self._sha256 is not None:
            found = sha256_of_file(path, self._path)
            if found != self._sha256:
                return _damaged(self._sha256, found)
        return None


def _damaged(expected: str, found: str) -> str:
    return f"expected SHA-256 {expected}, got {found}: the download is damaged"


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """The same bytes in ranges that rise and do not touch."""
    joined: list[Range] = []
    for start, stop in sorted(each for each in ranges if each[0] < each[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def _requests(ranges: Iterable[Range]) -> list[list[Range]]:
    """Rising ranges, cut where they are too long, in as few requests as their limits allow."""
    requests: list[list[Range]] = []
    room = 0
    for start, stop in ranges:
        while start < stop:
            if room <= 0 or len(requests[-1]) >= MOST_RANGES:
                requests.append([])
                room = LARGEST_BYTES
            end = min(stop, start + room)
            requests[-1].append((start, end))
            room -= end - start
            start = end
    return requests


def _write_at(descriptor: int, place: int, piece: memoryview) -> None:
    while piece:
        written = os.pwrite(descriptor, piece, place)
        place, piece = place + written, piece[written:]


def _write_into(buffers: dict[Range, bytearray], place: int, piece: memoryview) -> None:
    for (start, stop), buffer in buffers.items():
        if start <= place < stop:
            buffer[place - start : place - start + len(piece)] = piece
            return


def _of(buffers: dict[Range, bytearray], start: int, stop: int) -> bytearray | memoryview:
    for (first, last), buffer in buffers.items():
        if first <= start and stop <= last and start < stop:
            return buffer if (first, last) == (start, stop) else memoryview(buffer)[start - first : stop - first]
    return bytearray()
