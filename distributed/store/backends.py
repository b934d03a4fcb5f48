"""The few verbs a store writes with, on a file system and on S3."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from distributed.store.problems import writing
from distributed.store.staging import staged

#: What ``os.link`` answers where hard links don't exist (FAT, some network and container mounts).
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class Backend(Protocol):
    """Writes into one store. Paths are relative to the store, with forward slashes.

    A model's life: its files are written in ``staging_folder``, each is published whole, the models row last and
    exclusively. Readers never see a part of a file. All methods raise ``OSError``, nothing else.
    """

    @property
    def place(self) -> str:
        """The store, for messages."""

    def staging_folder(self) -> Path:
        """Where files are written before they are published; may not exist yet."""

    def staging_errors(self) -> AbstractContextManager[None]:
        """What errors of the staging folder mean: for the whole store, or for this machine alone."""

    def prepare(self) -> None:
        """Make what must exist before the first file is published."""

    def exists(self, path: str) -> bool:
        """Whether there is something at ``path``, by one request."""

    def publish(self, file: Path, path: str) -> None:
        """Put a staged file at ``path``, in place of what is there; the staged file may be gone afterwards."""

    def publish_new(self, file: Path, path: str) -> bool:
        """Put a staged file at ``path`` if nothing is there; whether this call did it. At most one caller gets True."""

    def write(self, path: str, data: bytes) -> None:
        """Put ``data`` at ``path`` whole, in place of what is there."""

    def remove(self, path: str) -> None:
        """Remove ``path`` if it is there."""


class LocalBackend:
    """A folder. Files are renamed into place on the same file system, after they reached the disk."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    @property
    def place(self) -> str:
        return str(self._root)

    def staging_folder(self) -> Path:
        return self._root / ".staging"

    def staging_errors(self) -> AbstractContextManager[None]:
        return writing(self.place)

    def prepare(self) -> None:
        for name in ("filters", "layers", "models"):
            (self._root / name).mkdir(parents=True, exist_ok=True)

    def exists(self, path: str) -> bool:
        return (self._root / path).is_file()

    def publish(self, file: Path, path: str) -> None:
        target = self._target(path)
        _sync(file)
        os.replace(file, target)
        _sync(target.parent)

    def publish_new(self, file: Path, path: str) -> bool:
        target = self._target(path)
        _sync(file)
        try:
            os.link(file, target)
        except FileExistsError:
            # Over NFS the answer to a link that was made can be lost and asked for again: then it is ours after all.
            return os.path.samefile(file, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._rename_new(file, target)
        _sync(target.parent)
        return True

    def write(self, path: str, data: bytes) -> None:
        target = self._target(path)
        with staged(self.staging_folder(), "object") as staging:
            file = staging.path(target.name)
            file.write_bytes(data)
            _sync(file)
            os.replace(file, target)
            _sync(target.parent)

    def remove(self, path: str) -> None:
        (self._root / path).unlink(missing_ok=True)

    def _target(self, path: str) -> Path:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    @staticmethod
    def _rename_new(file: Path, target: Path) -> bool:
        """Without hard links: look, then rename. Two writers in the same instant may both get True."""
        if target.exists():
            return False
        os.replace(file, target)
        _sync(target.parent)
        return True


def _sync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to the disk: a model that exists must survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
