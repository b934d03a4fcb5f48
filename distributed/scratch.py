"""A folder for downloads, gone when its user is: the lock that guards staging guards it, too (``store.staging``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed.errors import RetryableError
from distributed.store.staging import staged, temporary_folder


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder, removed afterwards; before, whatever dead users of this machine left is removed.

    Raises:
        RetryableError: none can be made here.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(staged(temporary_folder(), "scratch")).path("downloads")
            folder.mkdir()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RetryableError(f"no folder for downloads can be made ({reason}): make room, or set TMPDIR") from error
        yield folder
