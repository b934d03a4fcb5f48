"""Notices whatever reading a file makes the interpreter do: imports, programs, files opened to be written."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Audit events that reading a checkpoint has no reason for, whatever it holds.
FORBIDDEN = frozenset(
    {
        *("import", "exec", "compile", "pickle.find_class", "marshal.loads", "code.__new__", "function.__new__"),
        *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn"),
        *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.putenv", "os.symlink", "os.link"),
        *("shutil.rmtree", "shutil.copyfile", "socket.connect", "socket.bind", "ctypes.dlopen", "webbrowser.open"),
    }
)

_seen: list[str] = []
_watching = False


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in FORBIDDEN:
        _seen.append(f"{event} {str(arguments)[:200]}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _seen.append(f"open {str(arguments)[:200]}")


sys.addaudithook(_notice)
codecs.lookup("cp437")  # zipfile's own, for names of other times


@contextmanager
def watched() -> Iterator[list[str]]:
    """The forbidden events in the block, as they happen. Our own reading must have run before: it imports, too."""
    global _watching
    _seen.clear()
    _watching = True
    try:
        yield _seen
    finally:
        _watching = False
