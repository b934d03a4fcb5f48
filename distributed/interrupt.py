"""Ctrl-C while a command still imports its modules: one line instead of a stack."""

from __future__ import annotations

import sys
from types import TracebackType

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
