"""Both ways to a file's bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from distributed.formats import zip_members
from distributed.formats.remembered import Remembered
from distributed.local_files import LocalFile
from tests.distributed.formats import helpers


@pytest.fixture(params=[LocalFile, helpers.Served], ids=["disk", "ranges"])
def each_source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test runs twice: with files on disk, which are mapped, and with files that a server gives by ranges."""
    if request.param is helpers.Served:
        # Files of tests are short: they are to be read in pieces as long ones are.
        monkeypatch.setattr(zip_members, "TAIL_BYTES", 64)
        monkeypatch.setattr(Remembered.__init__, "__defaults__", (512,))
    helpers.source_kinds.append(request.param)
    yield
    helpers.source_kinds.pop()
