"""Checkpoint files of every kind behind one protocol, ``distributed.formats.base.Checkpoint``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed.formats.base import ByteSource, Checkpoint, TensorEntry
    from distributed.formats.opening import open_checkpoint

__all__ = ["ByteSource", "Checkpoint", "TensorEntry", "open_checkpoint"]


def __getattr__(name: str) -> Any:
    # When needed: they bring torch with them, which telling what a file is (``sniff``) needs not.
    if name == "open_checkpoint":
        from distributed.formats.opening import open_checkpoint

        return open_checkpoint
    if name in __all__:
        from distributed.formats import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
