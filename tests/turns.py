"""Turns between the processes that test this checkout (``make test`` has two): most side by side, some alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Nothing is written: both are only locked.
_GATE, _ROOM = Path(__file__), Path(__file__).parent


@contextmanager
def in_room(*, alone: bool) -> Iterator[None]:
    """Among others who are not alone, or alone.

    Everyone comes in by a gate, one after the other. Who wants to be alone holds the gate until the room is empty, so
    that a stream of others cannot keep him waiting.
    """
    gate, room = os.open(_GATE, os.O_RDONLY), os.open(_ROOM, os.O_RDONLY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
    finally:
        os.close(gate)
        os.close(room)
