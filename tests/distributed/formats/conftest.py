"""Both ways to a file's bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from distributed.local_files import LocalFile
from tests.distributed.formats import helpers


@pytest.fixture(params=[LocalFile, helpers.Served], ids=["disk", "ranges"])
def each_source(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test runs twice: with files on disk, which are mapped, and with files that a server gives by ranges."""
    helpers.source_kinds.append(request.param)
    yield
    helpers.source_kinds.pop()
