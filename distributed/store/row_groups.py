"""Filters, layer after layer, turned into the record batches that the writer takes without another copy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distributed.records import FILTERS_SCHEMA, WEIGHT_COLUMNS

#: Rows of one row group of ``filters``: 4.5 MiB.
ROW_GROUP_ROWS = 1 << 17


class RowGroups:
    """Collects filters into batches of ``FILTERS_SCHEMA`` of exactly ``ROW_GROUP_ROWS`` rows, the last one smaller.

    Filters come row by row (n, 9) and leave as nine columns: the one copy that this takes is the only one between a
    weight and the file's pages, however layers and row groups lie. Memory comes from Arrow's pool, which gives the same
    pages again instead of new ones.
    """

    def __init__(self) -> None:
        self._used = 0
        self._ids, self._weights = _columns()

    def add(self, layer_id: int, filters: NDArray[np.float32]) -> Iterator[pa.RecordBatch]:
        """The batches that are full with these filters (n, 9) of one layer; consume them all before the next call."""
        start = 0
        while start < len(filters):
            count = min(len(filters) - start, ROW_GROUP_ROWS - self._used)
            place = slice(self._used, self._used + count)
            self._ids[place] = layer_id
            self._weights[:, place] = filters[start : start + count].T
            self._used += count
            start += count
            if self._used == ROW_GROUP_ROWS:
                yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        """What has not been given yet, if there is any."""
        if not self._used:
            return
        ids, weights, used = self._ids, self._weights, self._used
        self._used = 0
        self._ids, self._weights = _columns()
        arrays = [pa.array(ids[:used]), *(pa.array(weights[i, :used]) for i in range(len(WEIGHT_COLUMNS)))]
        del ids, weights
        yield pa.RecordBatch.from_arrays(arrays, schema=FILTERS_SCHEMA)


def _columns() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    ids = np.frombuffer(pa.allocate_buffer(8 * ROW_GROUP_ROWS), np.int64)
    weights = np.frombuffer(pa.allocate_buffer(4 * len(WEIGHT_COLUMNS) * ROW_GROUP_ROWS), np.float32)
    return ids, weights.reshape(len(WEIGHT_COLUMNS), ROW_GROUP_ROWS)
