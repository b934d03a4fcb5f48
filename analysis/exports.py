"""What a package gives out, imported when it is asked for: ``--help`` of a command needs none of it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazily(package: str, **homes: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` (PEP 562). ``homes``: exported name → ``module:name`` below ``package``."""

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, inner = homes[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), inner)

    return attribute
