"""Checkpoint files of every kind behind one protocol, ``distributed.formats.base.Checkpoint``."""

from distributed.formats.base import ByteSource, Checkpoint, TensorEntry
from distributed.formats.opening import open_checkpoint

__all__ = ["ByteSource", "Checkpoint", "TensorEntry", "open_checkpoint"]
