"""A zip archive's members by ranges, each of the archive's claims checked before a byte is believed."""

from __future__ import annotations

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from distributed.formats.fetching import Fetched, Part
from distributed.formats.problems import unreadable
from distributed.formats.remembered import Remembered

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")

#: Bytes that a local header may have behind its name: their number is 16 bits.
_MOST_EXTRA = 0xFFFF

#: Read at once of the end of an archive: the end of its directory, and of most checkpoints all of it.
TAIL_BYTES = 64 * 1024

#: Of a directory: a million members have one so long.
_MOST_DIRECTORY_BYTES = 100_000_000

#: Weights hardly compress: an archive that claims more than so many times its size is a bomb, or damaged.
_MOST_INFLATION = 16
_ALWAYS_ALLOWED = 1 << 20

#: What ``zipfile`` raises of archives that are none.
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, ValueError, RuntimeError, OSError)


@dataclass(slots=True)
class _Member:
    """One member, as the directory describes it.

    Attributes:
        info: of the directory.
        name: the bytes of its name, which its local header repeats.
        stop: where the next member or the directory begins: the data ends no later.
        start: where its data begins; None until its local header was read, which alone says.
    """

    info: zipfile.ZipInfo
    name: bytes
    stop: int
    start: int | None = None

    @property
    def earliest(self) -> int:
        """Where its data begins if its local header has no extra data."""
        return self.info.header_offset + _LOCAL_HEADER.size + len(self.name)

    @property
    def latest(self) -> int:
        """Where its data begins at the latest."""
        return min(self.stop - self.info.compress_size, self.earliest + _MOST_EXTRA)

    @property
    def is_stored(self) -> bool:
        return self.info.compress_type == zipfile.ZIP_STORED


class ZipMembers:
    """The members of one archive, stored or deflated.

    The directory is read, at the end of the file, and nothing else; of a member's data only the parts asked for, with
    the local header before it.

    Args:
        source: the file.

    Raises:
        UnextractableError: it is truncated, encrypted, claims more bytes than it can have, two members of one name, or
            one within another.
        RetryableError: reading failed.
    """

    def __init__(self, source: Remembered) -> None:
        self._source, self._file = source, source.name
        self._unpacked = "", memoryview(b"")
        try:
            with zipfile.ZipFile(_End(source)) as archive:
                infos, directory = archive.infolist(), archive.start_dir
        except _DAMAGE as error:
            raise unreadable(self._file, "truncated or damaged zip archive", found=str(error)[:200]) from None
        if len({info.filename for info in infos}) != len(infos):
            raise unreadable(self._file, "zip archive with two members of one name")
        self._refuse_bombs(infos)
        order = sorted(infos, key=lambda info: info.header_offset)
        stops = [info.header_offset for info in order[1:]] + [directory]
        self._members = {info.filename: self._member(info, stop) for info, stop in zip(order, stops, strict=True)}

    @property
    def names(self) -> list[str]:
        """Of all members, in the order of the file."""
        return list(self._members)

    def size(self, name: str) -> int | None:
        """Bytes of a member, unpacked; None where there is no such member."""
        return self._members[name].info.file_size if name in self._members else None

    def held(self, name: str, start: int, stop: int) -> int:
        """Bytes in memory while these of a member are read: of a packed one all of them."""
        member = self._members[name]
        return stop - start if member.is_stored else max(member.info.file_size, member.info.compress_size)

    def read(self, parts: Sequence[tuple[str, int, int]]) -> list[memoryview]:
        """The bytes ``start`` to ``stop`` of members, fetched together; of stored ones the memory that was fetched.

        Raises:
            UnextractableError: there is no member at its place, or it does not unpack to what the archive says.
            RetryableError: reading failed.
        """
        members = [self._members[name] for name, _, _ in parts]
        # Where a header tells where data begins, the two lie side by side, and a whole member is one range.
        headers = [Part(self._source, m.info.header_offset, m.earliest) for m in members if m.start is None]
        wanted = [
            self._part(member, *((start, stop) if member.is_stored else (0, member.info.compress_size)))
            for member, (_, start, stop) in zip(members, parts, strict=True)
        ]
        fetched = Fetched([*headers, *wanted])
        return [
            self._content(member, start, stop, fetched) for member, (_, start, stop) in zip(members, parts, strict=True)
        ]

    def _part(self, member: _Member, start: int, stop: int) -> Part:
        first, last = (member.earliest, member.latest) if member.start is None else (member.start, member.start)
        return Part(self._source, first + start, last + stop)

    def _content(self, member: _Member, start: int, stop: int, fetched: Fetched) -> memoryview:
        if member.start is None:
            member.start = self._start(member, fetched)
        if member.is_stored:
            return fetched.view(self._part(member, start, stop))
        name = member.info.filename
        if self._unpacked[0] != name:  # tensors of one storage come one after the other
            packed = fetched.view(self._part(member, 0, member.info.compress_size))
            self._unpacked = name, self._unpack(member.info, packed)
        return self._unpacked[1][start:stop]

    def _unpack(self, info: zipfile.ZipInfo, packed: memoryview) -> memoryview:
        name = info.filename
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, info.file_size + 1)
        except zlib.error as error:
            raise unreadable(self._file, f"zip member {name!r} does not unpack", found=str(error)) from None
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise unreadable(
                self._file,
                f"zip member {name!r} unpacks to other data than it says",
                expected=f"{info.file_size} bytes with CRC {info.CRC:08x}",
                found=f"{len(content)} bytes",
            )
        return memoryview(bytearray(content))

    def _start(self, member: _Member, fetched: Fetched) -> int:
        """Where a member's data begins: behind its local header, which has to be there."""
        header = bytes(fetched.view(Part(self._source, member.info.header_offset, member.earliest)))
        shown = member.info.filename
        if header[:4] != b"PK\x03\x04":
            raise unreadable(self._file, f"zip member {shown!r} has no local header", found=header[:4].hex(" "))
        name_length, extra_length = _LOCAL_HEADER.unpack_from(header)[-2:]
        if name_length != len(member.name) or header[_LOCAL_HEADER.size :] != member.name:
            raise unreadable(self._file, f"zip member {shown!r} has another name in its local header")
        start = member.earliest + int(extra_length)
        if start > member.latest:
            expected, found = f"data before byte {member.latest}", f"byte {start}"
            raise unreadable(self._file, f"zip member {shown!r} reaches into the next", expected=expected, found=found)
        return start

    def _refuse_bombs(self, infos: Sequence[zipfile.ZipInfo]) -> None:
        size = self._source.size
        most = _MOST_INFLATION * size + _ALWAYS_ALLOWED
        total = sum(info.file_size for info in infos)
        if total > (most if any(info.compress_type for info in infos) else size):
            raise unreadable(
                self._file,
                "zip archive claims more data than the file has (a zip bomb, or damage)",
                expected=f"at most {most if total > most else size} bytes",
                found=f"{total} bytes in {len(infos)} members",
            )

    def _member(self, info: zipfile.ZipInfo, stop: int) -> _Member:
        """A member whose claims about itself agree with each other and with what lies behind it."""
        name, file = info.filename, self._file
        # As the directory has it: zipfile decodes, and cuts at a NUL.
        stored = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
        member = _Member(info, stored, stop)
        if info.flag_bits & 1:
            raise unreadable(file, f"zip member {name!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise unreadable(
                file,
                f"zip member {name!r} is compressed in a way that is not read: unpack the archive, and pack it again",
                expected="stored or deflated members",
                found=f"compression method {info.compress_type}",
            )
        if member.is_stored and info.file_size != info.compress_size:
            raise unreadable(
                file, f"zip member {name!r} is stored with two sizes", found=f"{info.compress_size}, {info.file_size}"
            )
        if info.header_offset < 0 or member.latest < member.earliest:
            raise unreadable(
                file,
                f"zip member {name!r} is truncated, or another one lies in it",
                expected=f"its {info.compress_size} bytes before byte {stop}",
                found=f"{max(0, stop - member.earliest)} bytes",
            )
        return member


class _End(io.RawIOBase):
    """A file for ``zipfile``, which reads the end of an archive and then its directory."""

    def __init__(self, source: Remembered) -> None:
        self._source, self._position = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if position < 0:
            raise OSError(errno.EINVAL, "a place before the beginning")
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        end = self._source.size
        start = min(self._position, end)
        stop = end if size < 0 else min(start + size, end)
        if stop - start > _MOST_DIRECTORY_BYTES:
            raise ValueError(f"a directory of {stop - start} bytes, at most {_MOST_DIRECTORY_BYTES}")
        self._source.remember((max(0, end - TAIL_BYTES), end))
        self._source.remember((start, stop))
        self._position = stop
        return bytes(self._source.read_ranges([(start, stop)])[0])
