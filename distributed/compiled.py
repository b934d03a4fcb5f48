"""Compiled once per machine: where the machine code of numba's loops is kept.

numba keeps compiled code beside the source file, or in a folder named after the source's path. A job submitted to Ray
runs from a new folder each time, so that either would compile again for every job, and in every worker at once. Here
the folder is named after the content of the source instead, and a lock lets one process compile while others wait.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba.core.caching import UserWideCacheLocator

from distributed.lean_imports import import_numba

log = logging.getLogger(__name__)

#: numba's settings; the module fills itself from the environment, which type checkers cannot see.
config: Any = numba.config

_SETTINGS_LOCK = threading.Lock()


@functools.cache
def cache_folder(source: Path, module: str) -> Path | None:
    """A folder of this user on this machine for code compiled from ``source``, or None if none can be written.

    ``module`` is in its name as well: numba's files say by name which module to import when they are loaded.

    Below ``NUMBA_CACHE_DIR`` if set, else the user's cache folder, else one in the temporary folder. Compiled code is
    executed when it is loaded, so that a folder that others could write to is refused.
    """
    content = hashlib.sha256(module.encode() + b"\0" + source.read_bytes()).hexdigest()[:16]
    name = Path("cnn-filter-shift") / f"kernels-{content}"
    candidates: list[Path] = []
    if config.CACHE_DIR:
        candidates.append(Path(config.CACHE_DIR) / name)
    else:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        candidates += [Path(home) / name, Path(tempfile.gettempdir()) / f"cnn-filter-shift-{os.getuid()}" / name.name]
    for folder in candidates:
        if _is_private_and_writable(folder):
            return folder
    return None


def _is_private_and_writable(folder: Path) -> bool:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        for each in (folder.parent, folder):
            facts = os.lstat(each)
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & stat.S_IWOTH:
                return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


class MachineCacheLocator(UserWideCacheLocator):
    """Tells numba to use ``cache_folder``; the source's content is in its name.

    numba's setting NUMBA_CACHE_LOCATOR_CLASSES is documented and takes classes of one's own, but what those derive from
    has no public name.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[no-untyped-call]
        self._folder = str(cache_folder(Path(py_file), py_func.__module__))

    def get_cache_path(self) -> str:
        """The folder."""
        return self._folder

    def get_source_stamp(self) -> str:
        """Always the same: older numba takes the file's date, which is another in every copy of the working folder."""
        return "content"


@contextmanager
def _located_by_content() -> Iterator[None]:
    """numba's documented setting for locators, for the time of our own compilations only."""
    with _SETTINGS_LOCK:
        before = config.CACHE_LOCATOR_CLASSES
        config.CACHE_LOCATOR_CLASSES = f"{__name__}.{MachineCacheLocator.__name__}"
        try:
            yield
        finally:
            config.CACHE_LOCATOR_CLASSES = before


@contextmanager
def _one_process_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compile_once(function: Callable[..., Any], signature: Any, *, uses: Path | None = None) -> Callable[..., int]:
    """``function`` as machine code without Python's lock, for arguments of ``signature``.

    Loaded if this machine has compiled it before, else compiled, which takes some seconds. Keep the result: each call
    looks at the disk.

    Args:
        function: from a module of its own, which may hold the compiled functions that it calls.
        signature: numba's.
        uses: another source file with functions that it calls: when that changes, it is compiled again.
    """
    if uses is not None:
        function.__qualname__ = f"{function.__name__}_{hashlib.sha256(uses.read_bytes()).hexdigest()[:16]}"
    folder = cache_folder(Path(function.__code__.co_filename), function.__module__)
    if folder is None:
        log.warning("no folder for compiled kernels can be written: each process compiles (set NUMBA_CACHE_DIR)")
        return _compile(function, signature, cache=False)
    import_numba()
    with _one_process_at_a_time(folder), _located_by_content():
        return _compile(function, signature, cache=True)


@functools.cache
def compiled(loops: ModuleType, name: str) -> Callable[..., int]:
    """An entry point of a module of loops as machine code, for the signature that bears its name in capitals there."""
    return compile_once(getattr(loops, name), getattr(loops, name.upper()))


def _compile(function: Callable[..., Any], signature: Any, *, cache: bool) -> Callable[..., int]:
    result: Callable[..., int] = numba.njit(signature, nogil=True, error_model="numpy", cache=cache)(function)
    return result
