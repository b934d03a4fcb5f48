"""A whole file is fetched once by all processes of this machine that need it at the same time.

Whoever comes first fetches it, the others wait and then take a second name of the same content (a hard link): each
scratch folder goes with its owner, and the content with the last of them. Nothing else is kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed.store.staging import temporary_folder

logger = logging.getLogger(__name__)


def fetched_once(
    what: str, scratch: Path, fetch: Callable[[], Path], is_sound: Callable[[Path], bool]
) -> tuple[Path, bool]:
    """A whole file in ``scratch``; whether it was fetched for this.

    Args:
        what: names the content, the same for all who want it.
        scratch: this caller's folder for downloads, beside those of the others.
        fetch: gets the file, complete and checked, into ``scratch``. Its errors pass.
        is_sound: whether a file that another process has fetched is what it should be.
    """
    key = hashlib.sha256(what.encode()).hexdigest()[:32]
    mine = scratch / f"{key}.whole"
    with _alone(key, what):
        for other in scratch.parent.glob(f"*/{mine.name}"):
            if _linked(other, mine):
                if is_sound(mine):
                    return mine, False
                mine.unlink()
        path = fetch()
        _linked(path, mine)
        return path, True


def _linked(content: Path, name: Path) -> bool:
    """Give a file a second name; whether it has it. Without, each process fetches for itself."""
    try:
        if content.stat().st_uid != os.getuid():
            return False
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(content, name)
    except OSError:  # gone with its owner meanwhile, or a file system without links
        return False
    return True


@contextmanager
def _alone(key: str, what: str) -> Iterator[None]:
    """Wait until no other process of this machine is in here with the same key."""
    lock: int | None = None
    try:
        folder = temporary_folder() / "downloads"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{key}.lock"
        lock = _locked(path, what)
    except OSError as error:  # no such folder, or no locks there: it may be fetched twice
        logger.info("%s: cannot be shared with other processes (%s)", what, error)
    try:
        yield
    finally:
        if lock is not None:
            path.unlink(missing_ok=True)
            os.close(lock)


def _locked(path: Path, what: str) -> int:
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("%s: waiting for another process of this machine, which fetches it", what)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink:
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # whoever had it before has removed it: once more
