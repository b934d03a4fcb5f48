"""The outer layers of torch's files, checked before ``torch.load`` sees them: zip, legacy, tar."""

from __future__ import annotations

import mmap
import struct
import zipfile
from pathlib import Path
from typing import IO, cast

from distributed.errors import RetryableError
from distributed.formats.pickle_scan import MAX_PICKLE_BYTES, scan_pickle
from distributed.formats.pickle_values import Scan
from distributed.formats.problems import unreadable, unsupported
from distributed.formats.sniff import TORCH_LEGACY_MAGIC

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def check_zip(path: Path, file: str) -> None:
    """Check a zip checkpoint's directory, pickle and sizes; takes memory for the pickle alone.

    Raises:
        UnextractableError: (unreadable) truncated, compressed, or claims more bytes than it has; (unsupported_format) a
            zip of another kind, TorchScript included; (unsafe_pickle) see ``scan_pickle``.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise unreadable(file, "zip archive with two members of one name")
            prefix = _archive_root(members, file)
            _check_members(members, size, file)
            _check_local_headers(path, members, size, file)
            pickle_info = members[f"{prefix}data.pkl"]
            if pickle_info.file_size > MAX_PICKLE_BYTES:
                raise unreadable(
                    file,
                    "data.pkl is too long for a state dict",
                    expected=f"at most {MAX_PICKLE_BYTES} bytes",
                    found=f"{pickle_info.file_size} bytes",
                )
            with archive.open(pickle_info) as stream:
                scan = scan_pickle(stream, file, size)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, ValueError, RuntimeError) as error:
        raise unreadable(file, "truncated or damaged zip archive", found=str(error)[:200]) from None
    except OSError as error:
        raise RetryableError(f"{file}: reading failed ({error}); try again") from error
    _check_records(scan, members, prefix, file)


def _archive_root(members: dict[str, zipfile.ZipInfo], file: str) -> str:
    roots = {name[: -len("data.pkl")] for name in members if name == "data.pkl" or name.endswith("/data.pkl")}
    roots = {root for root in roots if root.count("/") <= 1}
    names = sorted(members)
    if any(name.endswith("constants.pkl") and name.count("/") <= 1 for name in names):
        raise unsupported(
            file,
            "TorchScript archive: weights_only loading refuses it; export its state_dict() instead",
            expected="a torch.save checkpoint",
            found="TorchScript (constants.pkl, code/)",
        )
    if len(roots) != 1:
        if "model.weights.h5" in members:
            kind = "a Keras model"
        elif names and all(name.endswith(".npy") for name in names):
            kind = "a NumPy .npz archive"
        elif any(name.endswith("archive_format") for name in names):
            kind = "a torch.export archive"
        else:
            kind = f"members {', '.join(names[:4])[:120] or 'none'}"
        raise unsupported(file, "zip archive, but not a torch.save checkpoint", expected="data.pkl", found=kind)
    return roots.pop()


def _check_members(members: dict[str, zipfile.ZipInfo], size: int, file: str) -> None:
    total = sum(info.file_size for info in members.values())
    if total > size:
        raise unreadable(
            file,
            "zip archive claims more data than the file has (a zip bomb, or damage)",
            expected=f"at most {size} bytes",
            found=f"{total} bytes in {len(members)} members",
        )
    for name, info in members.items():
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            found = f"compression method {info.compress_type}, {info.compress_size} → {info.file_size} bytes"
            raise unreadable(file, f"zip member {name!r} is compressed", expected="stored members", found=found)
        if info.flag_bits & 1:
            raise unreadable(file, f"zip member {name!r} is encrypted")


def _check_local_headers(path: Path, members: dict[str, zipfile.ZipInfo], size: int, file: str) -> None:
    """torch maps data right behind a member's local header, so that header must be there and agree on the name."""
    with path.open("rb") as stream:
        for name, info in members.items():
            stream.seek(info.header_offset)
            header = stream.read(_LOCAL_HEADER.size)
            if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
                raise unreadable(
                    file, f"zip member {name!r} has no local header", found=header[:4].hex(" ") or "nothing"
                )
            name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
            stop = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length + info.file_size
            if stop > size:
                raise unreadable(
                    file, f"zip member {name!r} is truncated", expected=f"{stop} bytes", found=f"{size} bytes"
                )


def _check_records(scan: Scan, members: dict[str, zipfile.ZipInfo], prefix: str, file: str) -> None:
    for key, claim in scan.storages.items():
        info = members.get(f"{prefix}data/{key}")
        if info is None:
            raise unreadable(file, f"storage {key} is missing", expected=f"member {prefix}data/{key}")
        if claim.nbytes > info.file_size:
            raise unreadable(
                file,
                f"storage {key} is shorter than the pickle says",
                expected=f"{claim.nbytes} bytes",
                found=f"{info.file_size} bytes",
            )


def check_legacy(path: Path, file: str) -> None:
    """Check a legacy file: five pickles (magic, protocol, system, object, storage keys), then the storages.

    Each storage is its element count (8 bytes) and its data. Takes no memory for data.

    Raises:
        UnextractableError: as for ``check_zip``.
    """
    size = path.stat().st_size
    try:
        # Mapped, so that no read can be longer than the file, whatever length an opcode claims.
        with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            stream = cast("IO[bytes]", mapped)
            for _ in range(3):
                scan_pickle(stream, file, size)
            scan = scan_pickle(stream, file, size)
            keys = scan_pickle(stream, file, size).value
            if not isinstance(keys, list):
                raise unreadable(file, "damaged legacy file", expected="a list of storage keys")
            position = mapped.tell()
            for key in keys:
                claim = scan.storages.get(str(key))
                if claim is None:
                    raise unreadable(file, f"storage {str(key)[:80]} is not used", expected="a storage of the pickle")
                header = mapped[position : position + 8]
                elements = int.from_bytes(header, "little")
                if len(header) == 8 and elements != claim.elements:
                    raise unreadable(
                        file,
                        f"storage {key} has another length than the pickle says",
                        expected=f"{claim.elements} elements",
                        found=f"{elements} elements",
                    )
                position += 8 + claim.nbytes
                if position > size:
                    raise unreadable(
                        file, "truncated legacy file", expected=f"at least {position} bytes", found=f"{size} bytes"
                    )
            missing = scan.storages.keys() - {str(key) for key in keys}
            if missing:
                raise unreadable(file, f"{len(missing)} storages have no data", found=f"no storage {min(missing)}")
    except OSError as error:
        raise RetryableError(f"{file}: reading failed ({error}); try again") from error


def refuse_pickle(path: Path, file: str) -> None:
    """Raise what a plain pickle deserves: its unsafe types by name, else that it is no checkpoint."""
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        scan_pickle(cast("IO[bytes]", mapped), file, len(mapped))
    raise unsupported(
        file, "plain pickle without torch's header", expected=f"torch.save's magic {TORCH_LEGACY_MAGIC[2:].hex()}"
    )
