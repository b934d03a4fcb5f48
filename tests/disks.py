"""A real small disk. Use the fixture by ``from tests.disks import small_disk`` (named in ``__all__``)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "small"
    folder.mkdir()
    if libc.mount(b"none", bytes(folder), b"tmpfs", 0, b"size=256k") != 0:
        pytest.skip(f"mounting a small disk is not permitted ({os.strerror(ctypes.get_errno())})")
    yield folder
    assert libc.umount(bytes(folder)) == 0
