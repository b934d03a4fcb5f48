"""What libraries do while they are imported though none of ours needs it, left out in processes that are ours alone.

Commands and extraction actors call ``begin``. Whoever uses the API shares a process with us and gets libraries whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_is_ours = False


def begin() -> None:
    """From here on; and import pyarrow without pandas: half a second of CPU only to ask for one of its series.

    pyarrow looks for pandas once, when it converts its first value; here that look finds nothing. ``to_pandas`` looks
    again, and works after this as before.
    """
    global _is_ours
    _is_ours = True
    import pyarrow as pa

    with _absent("pandas"):
        pa.scalar(0)


def import_matplotlib() -> None:
    """Import what draws figures without writing the documentation of every artist's properties: .2 of .6 s of CPU."""
    from matplotlib import artist

    documented = artist.kwdoc
    artist.kwdoc = lambda artist: ""
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401
    finally:
        artist.kwdoc = documented


def import_numba() -> None:
    """Import what numba needs to load a loop; in a process of ours without SciPy, whose BLAS no loop of ours calls."""
    with _absent("scipy") if _is_ours else nullcontext():
        import numba.np.arraymath  # noqa: F401


class _Absent(MetaPathFinder):
    """Asked before all other finders: there is no such module."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] == self._module:
            raise ModuleNotFoundError(f"{name} is left aside", name=name)
        return None


@contextmanager
def _absent(module: str) -> Iterator[None]:
    """Within it, a module that is not imported yet is not found."""
    finder = _Absent(module)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
