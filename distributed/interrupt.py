"""Ctrl-C and SIGTERM: one line instead of a stack, at any time, be it while a command still imports its modules."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType

INTERRUPTED = "interrupted: what was finished is in the store; run the same command again to go on"


def say_interrupts() -> None:
    """From now on an interrupt that nothing catches is told in a line; the process ends by it as before."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print(INTERRUPTED, file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = hook


def take_sigterm() -> None:
    """From now on SIGTERM (``ray job stop``, a scheduler, a spot node's end) is an interrupt, the first one only.

    Again after each ``ray.init``, which puts there what ends the process with the frames of its C++ code.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # what is cleaned up now is cleaned up whole
    raise KeyboardInterrupt
