"""Filters become record batches of whole row groups, whatever the layers' sizes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed.records import FILTERS_SCHEMA, WEIGHT_COLUMNS
from distributed.store import RowGroups
from distributed.store import row_groups as module


@given(sizes=st.lists(st.integers(0, 33), max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_layers_give_whole_row_groups_of_the_same_rows(sizes: list[int]) -> None:
    random = np.random.default_rng(sum(sizes))
    layers = [random.standard_normal((size, 9)).astype(np.float32) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROW_GROUP_ROWS", 10)
        groups = RowGroups()
        # Kept until the end: a batch that was given must not change when its memory might be wanted again.
        batches = [batch for i, layer in enumerate(layers) for batch in groups.add(100 + i, layer)]
        batches += groups.rest()
        assert list(groups.rest()) == []
    assert all(batch.num_rows == 10 for batch in batches[:-1])
    assert all(batch.schema.equals(FILTERS_SCHEMA) for batch in batches)
    table = pa.Table.from_batches(batches, FILTERS_SCHEMA)
    assert table["layer_id"].to_pylist() == [100 + i for i, size in enumerate(sizes) for _ in range(size)]
    found = np.stack([table[name].to_numpy() for name in WEIGHT_COLUMNS], axis=1)
    np.testing.assert_array_equal(found, np.concatenate([np.empty((0, 9), np.float32), *layers]))


def test_a_whole_row_group_reaches_the_file_without_a_copy() -> None:
    """What the writer makes of a batch leaves the columns where they are."""
    groups = RowGroups()
    (batch,) = groups.add(1, np.ones((module.ROW_GROUP_ROWS, 9), np.float32))
    table = pa.Table.from_batches([batch])
    assert [c.chunk(0).buffers()[1].address for c in table.columns] == [c.buffers()[1].address for c in batch.columns]
