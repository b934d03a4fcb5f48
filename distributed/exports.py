"""What a package gives out, imported when it is asked for: ``--help`` of a command needs none of it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any


def lazily(module: str, **homes: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``module`` (PEP 562). ``homes``: exported name → ``module:name``."""

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return pkgutil.resolve_name(homes[name])

    return attribute
