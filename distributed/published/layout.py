"""The parts of a published HDF5 file: ``filters``, (N, 9) or (N, 3, 3), and the frame ``meta``; read in pieces."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from distributed.errors import RetryableError, UnextractableError
from distributed.formats.problems import unreadable, unsupported
from distributed.local_files import error_from_disk
from distributed.published.frame import Frame, read_frame

#: Names of the filters: what the code of the data set's authors reads, and what its README says.
FILTERS = ("filters", "filter")

META = "meta"

#: Rows read at a time: of float64 they take 4.5 MiB, which stay near the core until they are float32.
PIECE_ROWS = 1 << 16

_XZ = b"\xfd7zXZ\x00"
_HDF5 = b"\x89HDF\r\n\x1a\n"


class PublishedFile:
    """An open file of the layout, one for each process. Use as a context manager.

    Args:
        path: where it is.

    Attributes:
        name: of the file, for messages.
        rows: number of filters.
        dtype: of the weights, as stored.

    Raises:
        UnextractableError: it is no HDF5 file, is truncated, or has no filters; the message says what to do.
        RetryableError: the disk failed.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file = _opened(path)
        try:
            self._filters = self._found(FILTERS, h5py.Dataset)
            self.rows: int = self._filters.shape[0] if self._filters.shape else 0
            self.dtype = str(self._filters.dtype.newbyteorder("="))
            self._check_filters()
        except BaseException:
            self._file.close()
            raise
        self.bytes_read = 0
        self._piece: NDArray[Any] = np.empty((0, 9), self.dtype)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def dataset(self) -> str:
        """Name of the filters' data set."""
        return str(self._filters.name)

    @property
    def row_bytes(self) -> int:
        """Bytes of one filter in the file."""
        return 9 * int(self._filters.dtype.itemsize)

    def frame(self) -> Frame:
        """What the file says of its filters; see ``read_frame`` for its errors."""
        return read_frame(self._found((META,), (h5py.Group, h5py.Dataset)), self.name)

    def beside(self) -> list[str]:
        """Names of what else is in the file: derived data that others may have added."""
        return sorted(name for name in self._file if name not in (*FILTERS, META))

    def read(self, start: int, stop: int, into: NDArray[np.float32]) -> None:
        """Rows ``start`` … ``stop`` - 1, rounded to float32, into an array (stop - start, 9).

        Raises:
            UnextractableError: they are damaged or lie beyond the file's end.
            RetryableError: the disk failed.
        """
        if not 0 <= start <= stop <= self.rows:
            raise unreadable(self.name, f"rows {start}:{stop - 1} are not all there: it was changed: list it again")
        try:
            if self.dtype == "float32":
                self._read(start, stop, into)
                return
            if not len(self._piece):
                self._piece = np.empty((PIECE_ROWS, 9), self.dtype)
            for first in range(start, stop, PIECE_ROWS):
                piece = self._piece[: min(PIECE_ROWS, stop - first)]
                self._read(first, first + len(piece), piece)
                with np.errstate(over="ignore"):  # becomes infinite, and is found to be so
                    np.copyto(into[first - start : first - start + len(piece)], piece, casting="same_kind")
        except OSError as error:
            raise self._problem(error, start, stop) from error

    def _read(self, start: int, stop: int, into: NDArray[Any]) -> None:
        if stop > start:  # HDF5 refuses to read nothing
            shape = (stop - start, *self._filters.shape[1:])
            self._filters.read_direct(into.reshape(shape), np.s_[start:stop])
            self.bytes_read += (stop - start) * self.row_bytes

    def _problem(self, error: OSError, start: int, stop: int) -> RetryableError | UnextractableError:
        place = f"{self.name}: rows {start}:{stop - 1} of {self.dataset}"
        if error.errno is not None:
            return RetryableError(f"{place}: cannot be read ({error.strerror or error}): try again")
        return unreadable(place, "damaged, download the file again", found=" ".join(str(error).split())[:200])

    def _found(self, names: tuple[str, ...], kind: Any) -> Any:
        """The first of ``names`` in the file itself: links into other files are not followed."""
        for name in names:
            if name in self._file and not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
                raise unsupported(self.name, f"{name!r} is a link: copy what it leads to into the file (h5repack)")
            if isinstance(self._file.get(name), kind):
                return self._file[name]
        there = ", ".join(sorted(self._file)) or "nothing"
        missing = " or ".join(map(repr, names))
        raise unsupported(
            self.name,
            f"{missing} is missing: it is no file of CNN Filter DB, or its download broke off",
            expected="'filters' and 'meta'",
            found=there[:200],
        )

    def _check_filters(self) -> None:
        found = self._filters
        if found.is_virtual or found.external:
            raise unsupported(self.name, f"{found.name} lies in other files: put them together first (h5repack)")
        if found.shape is None or found.shape[1:] not in ((9,), (3, 3)) or found.dtype.kind != "f":
            raise unsupported(
                self.name,
                f"{found.name} holds no 3x3 filters",
                expected="(N, 9) or (N, 3, 3) of float32 or float64",
                found=f"{found.shape} of {found.dtype}",
            )


def _opened(path: Path) -> h5py.File:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise error_from_disk(error, path, path.name) from error
    if head.startswith(_XZ):
        raise unsupported(path.name, f"is compressed: unpack it first (xz -dk {path.name})")
    if head != _HDF5:
        raise unsupported(path.name, "is no HDF5 file", expected="a file of CNN Filter DB (dataset.h5)")
    try:
        return h5py.File(path, "r", locking=False)  # read-only disks and NFS lock nothing
    except OSError as error:
        if "truncated" in str(error):
            raise unreadable(path.name, "is truncated: its download broke off, download it again") from None
        found = " ".join(str(error).split())[:200]
        raise unreadable(path.name, "damaged HDF5 file: download it again", found=found) from None
