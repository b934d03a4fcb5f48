"""The loops of ``loops`` as machine code; ``distributed.compiled`` keeps it on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from analysis.arrays.kernels import loops
from distributed import compiled as machine


def cache_folder() -> Path | None:
    """Where the machine code of ``loops`` is kept; None if no folder for it can be written."""
    return machine.cache_folder(Path(loops.__file__), loops.__name__)


def compiled(name: str) -> Callable[..., int]:
    """One of ``loops``'s entry points as machine code: ``extremes`` or ``histograms``.

    Loaded if this machine has compiled it before, else compiled, which takes some seconds.
    """
    return machine.compiled(loops, name)
