"""How many bytes of a model's files are 3x3 weights, by its headers alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distributed.byte_sources import open_sources
from distributed.errors import FilterShiftError
from distributed.hub.settings import Verify
from distributed.references import ModelReference
from distributed.scratch import scratch
from distributed.settings import ExtractionRun

if TYPE_CHECKING:  # the formats bring torch with them, which a quick plan needs not
    from distributed.formats.base import ByteSource, Content

#: A file of the Hub up to this size may be read whole: an index of shards, a graph whose weights are elsewhere.
MOST_WHOLE_BYTES = 2**20


class NeedsWholeFileError(FilterShiftError):
    """Nothing of a file is known before all of it is downloaded."""


class HeadersOnly:
    """``ByteSource`` of a file on the Hub that refuses to fetch all of a large one."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.name, self.size = source.name, source.size

    @property
    def bytes_read(self) -> int:
        """See ``ByteSource``."""
        return self._source.bytes_read

    @property
    def verified_sha256(self) -> str | None:
        """None: not all of it is read."""
        return None

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> Sequence[Content]:
        """See ``ByteSource``.

        Raises:
            NeedsWholeFileError: all of a large file is asked for.
        """
        self._refuse(sum(stop - start for start, stop in ranges))
        return self._source.read_ranges(ranges)

    def local_path(self) -> Path:
        """See ``ByteSource``; errors as ``read_ranges``."""
        self._refuse(self.size)
        return self._source.local_path()

    def _refuse(self, size: int) -> None:
        if size == self.size > MOST_WHOLE_BYTES:
            raise NeedsWholeFileError(f"{self.name}: known only once all of it is read")


def payload_of(reference: ModelReference, run: ExtractionRun) -> int:
    """Bytes of the 3x3 weights that extraction would read.

    Raises:
        NeedsWholeFileError: nothing short of a download tells.
        FilterShiftError: as extraction itself would.
    """
    if reference.published is not None:
        return reference.size
    from distributed.extraction import plan_layers
    from distributed.formats import open_checkpoint

    settings, access = replace(run.extract, trace=False), replace(run.hub, verify=Verify.ranges)
    with scratch() as folder:
        sources: Sequence[ByteSource] = open_sources(reference, folder, access)
        if reference.revision is not None:
            sources = [HeadersOnly(source) for source in sources]
        with open_checkpoint(sources, prefer_ema=settings.prefer_ema, wanted=settings.patterns.takes) as checkpoint:
            layers = plan_layers(reference, checkpoint, settings).layers
            entries = {entry.name: entry for entry in checkpoint.entries}
    parts = [entries[part] for layer in layers for part in layer.reads if part in entries]
    return sum(math.prod(part.shape) * _bits(part.dtype) // 8 for part in parts)


def _bits(dtype: str) -> int:
    """Of one element: ``float8_e4m3fn`` has 8."""
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8
