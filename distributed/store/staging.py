"""Files that are being written, and downloads: complete before anybody sees them, gone when their writer is.

Every writer holds a lock file while it works. The lock is the operating system's (``flock``), so it ends with the
process however that ends, and whoever comes next can tell leftovers from work in progress.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Locks may not reach across machines (some network file systems): another machine's leftovers wait this long.
FOREIGN_AGE_SECONDS = 24 * 3600.0

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Staging:
    """One writer's place in a staging folder.

    Attributes:
        folder: the staging folder, shared by all writers.
        token: unique prefix of this writer's files.
    """

    folder: Path
    token: str

    def path(self, name: str) -> Path:
        """Where to write a file called ``name`` before it is published."""
        return self.folder / f"{self.token}.{name}"


@contextmanager
def staged(folder: Path, subject: str) -> Iterator[Staging]:
    """A place for one writer of ``subject`` (a model id); what is left in it at the end is removed.

    Leftovers of dead writers are removed first.

    Raises:
        OSError: the folder can't be made or written.
    """
    folder.mkdir(mode=0o777, parents=True, exist_ok=True)
    sweep(folder)
    token, lock = _lock(folder, subject)
    try:
        yield Staging(folder, token)
    finally:
        _remove(folder, token)
        os.close(lock)


def temporary_folder() -> Path:
    """Where stores that are not on a file system are staged, and downloads lie: this user's own, under TMPDIR.

    Raises:
        PermissionError: somebody else made a folder of this name.
    """
    folder = Path(tempfile.gettempdir()) / f"cnn-filter-shift-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: set TMPDIR to a folder of your own")
    return folder


def sweep(folder: Path) -> list[str]:
    """Remove what dead writers left in ``folder``; gives the tokens removed.

    A writer of this machine is dead when its lock is free, one of another machine when, besides, nothing of it was
    touched for ``FOREIGN_AGE_SECONDS``.
    """
    removed = []
    for path in sorted(folder.glob("*" + _LOCK)):
        token = path.name.removesuffix(_LOCK)
        try:
            lock = os.open(path, os.O_RDWR)
        except (FileNotFoundError, PermissionError):
            continue  # ended meanwhile, or another user's: not ours to judge
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if f"~{_host()}~" in token or time.time() - _touched(folder, token) > FOREIGN_AGE_SECONDS:
                _remove(folder, token)
                removed.append(token)
        except OSError:
            continue  # held by a living writer, or this file system has no locks: leave it
        finally:
            os.close(lock)
    return removed


def _lock(folder: Path, subject: str) -> tuple[str, int]:
    """Create and lock a lock file; (token, open file descriptor)."""
    while True:
        token = f"{subject}~{_host()}~{uuid.uuid4().hex}"
        lock = os.open(folder / (token + _LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        # A file system without locks: sweep() then leaves everything alone.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return token, lock
        os.close(lock)  # swept between creation and locking: once more


def _touched(folder: Path, token: str) -> float:
    """Latest modification time of the files of a token."""
    times = [0.0]
    for path in _files(folder, token):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)


def _files(folder: Path, token: str) -> list[Path]:
    """A pattern of a token would be compiled for each: a sixth of the time of a small model."""
    names = os.listdir(folder) if folder.is_dir() else ()
    return [folder / name for name in names if name.startswith(f"{token}.")]


def _remove(folder: Path, token: str) -> None:
    """Remove the files and folders of a token, its lock last."""
    lock = folder / (token + _LOCK)
    for path in _files(folder, token):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path != lock:
            path.unlink(missing_ok=True)
    lock.unlink(missing_ok=True)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname()) or "localhost"
