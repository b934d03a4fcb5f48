"""What libraries do while they are imported though no command needs it. Only commands ask for this, never the API."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Asked before all other finders: there is no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left aside", name=name)
        return None


def import_arrow() -> None:
    """Import pyarrow without pandas: half a second of CPU only to ask whether a value is one of its series.

    pyarrow looks for pandas once, when it converts its first value; here that look finds nothing. ``to_pandas`` looks
    again, and works after this as before.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)


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
