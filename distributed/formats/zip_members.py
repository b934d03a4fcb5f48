"""A zip archive's members as memory, each of its claims checked before a byte is believed."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

from distributed.formats.problems import unreadable

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")

#: Weights hardly compress: an archive that claims more than so many times its size is a bomb, or damaged.
_MOST_INFLATION = 16
_ALWAYS_ALLOWED = 1 << 20


class ZipMembers:
    """The members of one archive, stored or deflated.

    Args:
        path: of the file.
        memory: its whole content, mapped.
        file: name for messages.

    Raises:
        UnextractableError: it is truncated, encrypted, claims more bytes than it can have, or two members of one name.
    """

    def __init__(self, path: Path, memory: memoryview, file: str) -> None:
        self._memory, self._file = memory, file
        self._unpacked = "", memoryview(b"")
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, ValueError, RuntimeError) as error:
            raise unreadable(file, "truncated or damaged zip archive", found=str(error)[:200]) from None
        self._members = {info.filename: info for info in infos}
        if len(self._members) != len(infos):
            raise unreadable(file, "zip archive with two members of one name")
        most = _MOST_INFLATION * len(memory) + _ALWAYS_ALLOWED
        total = sum(info.file_size for info in infos)
        if total > (most if any(info.compress_type for info in infos) else len(memory)):
            raise unreadable(
                file,
                "zip archive claims more data than the file has (a zip bomb, or damage)",
                expected=f"at most {most if total > most else len(memory)} bytes",
                found=f"{total} bytes in {len(infos)} members",
            )
        self._starts = {info.filename: self._start(info) for info in infos}

    @property
    def names(self) -> list[str]:
        """Of all members, in the archive's order."""
        return list(self._members)

    def size(self, name: str) -> int | None:
        """Bytes of a member, unpacked; None where there is no such member."""
        return self._members[name].file_size if name in self._members else None

    def read(self, name: str) -> memoryview:
        """The content of a member; of a stored one the archive's own memory.

        Raises:
            UnextractableError: it does not unpack to what the archive says.
        """
        info, start = self._members[name], self._starts[name]
        packed = self._memory[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_STORED:
            return packed
        if self._unpacked[0] != name:  # tensors of one storage come one after the other
            self._unpacked = name, self._unpack(info, packed)
        return self._unpacked[1]

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

    def _start(self, info: zipfile.ZipInfo) -> int:
        """Where a member's data begins: behind its local header, which has to be there."""
        name, file = info.filename, self._file
        if info.flag_bits & 1:
            raise unreadable(file, f"zip member {name!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise unreadable(
                file,
                f"zip member {name!r} is compressed in a way that is not read: unpack the archive, and pack it again",
                expected="stored or deflated members",
                found=f"compression method {info.compress_type}",
            )
        header = bytes(self._memory[info.header_offset : info.header_offset + _LOCAL_HEADER.size])
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise unreadable(file, f"zip member {name!r} has no local header", found=header[:4].hex(" ") or "nothing")
        name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
        start: int = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        stored_longer = info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size
        stop = start + max(info.compress_size, info.file_size if stored_longer else 0)
        if stop > len(self._memory):
            found = f"{len(self._memory)} bytes"
            raise unreadable(file, f"zip member {name!r} is truncated", expected=f"{stop} bytes", found=found)
        if stored_longer:
            raise unreadable(
                file, f"zip member {name!r} is stored with two sizes", found=f"{info.compress_size}, {info.file_size}"
            )
        return start
