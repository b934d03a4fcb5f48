"""The sketch: sums over its rows, its file, and what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.arrays.basis import Basis
from analysis.arrays.sketch import Sketch, merge_sketches
from distributed.errors import UserError

BASIS = Basis(np.zeros(9), np.eye(9), np.full(9, 1 / 9), -1.0, 1.0, 5, 100)


def random_sketch(rng: np.random.Generator, ids: list[int]) -> Sketch:
    layers = len(ids)
    sides = [rng.integers(0, 5, (layers, 9)) for _ in range(2)]
    return Sketch(np.array(sorted(ids), np.int64), rng.integers(0, 100, (layers, 9, 5)), *sides, BASIS)


def equal(a: Sketch, b: Sketch) -> None:
    for name in ("layer_ids", "counts", "below", "above"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.basis.digest == b.basis.digest


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 6), min_size=1, max_size=300), st.integers(0, 2**32))
def test_sums_over_groups(codes: list[int], seed: int) -> None:
    sketch = random_sketch(np.random.default_rng(seed), list(range(len(codes))))
    groups = np.array(codes)
    found = sketch.group_counts(groups, 7)
    for group in range(7):
        np.testing.assert_array_equal(found[group], sketch.counts[groups == group].sum(axis=0))


def test_sums_over_more_layers_than_a_chunk() -> None:
    rng = np.random.default_rng(0)
    sketch, codes = random_sketch(rng, list(range(10_000))), rng.integers(-1, 3, 10_000)
    for group in range(3):
        np.testing.assert_array_equal(sketch.group_counts(codes)[group], sketch.counts[codes == group].sum(axis=0))
    for wrong in (codes[:-1], codes - 1):
        with pytest.raises(ValueError, match="group_of_layer"):
            sketch.group_counts(wrong)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, 40)), min_size=1, max_size=5), st.randoms())
def test_merging_is_adding_in_any_order(parts: list[set[int]], random: object) -> None:
    rng = np.random.default_rng(0)
    sketches = [random_sketch(rng, sorted(part)) for part in parts]
    whole = merge_sketches(sketches)
    random.shuffle(sketches)
    one_by_one = random_sketch(rng, [])
    for sketch in sketches:
        one_by_one = merge_sketches([one_by_one, sketch])
    equal(one_by_one, whole)
    assert whole.num_filters.sum() == sum(sketch.num_filters.sum() for sketch in sketches)


def test_other_bases_do_not_mix() -> None:
    one = random_sketch(np.random.default_rng(0), [1, 2])
    other = replace(one, basis=replace(BASIS, high=np.nextafter(1.0, 2)))
    with pytest.raises(UserError, match="different bases cannot be merged"):
        merge_sketches([one, other])


def test_file_round_trip_and_what_is_no_sketch(tmp_path: Path) -> None:
    path = tmp_path / "sketch.parquet"
    sketch = random_sketch(np.random.default_rng(0), list(range(5000)))
    sketch.to_parquet(path)
    equal(Sketch.from_parquet(path), sketch)
    nothing = random_sketch(np.random.default_rng(0), [])
    nothing.to_parquet(path)
    equal(Sketch.from_parquet(path), nothing)
    table = sketch.to_table()
    wrong = {
        "no basis in its metadata": table.replace_schema_metadata({}),
        "column 'below' is missing": table.drop_columns(["below"]),
        "column 'layer_id' is int32": table.set_column(0, "layer_id", table.column(0).cast(pa.int32())),
        "strictly ascending": table.take(pa.array([1, 0])),
    }
    for message, content in wrong.items():
        pq.write_table(content, path)
        with pytest.raises(UserError, match=message):
            Sketch.from_parquet(path)
    sketch.to_parquet(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read the sketch"):
        Sketch.from_parquet(path)


def test_a_missing_layer_is_named() -> None:
    sketch = random_sketch(np.random.default_rng(0), [1, 5, 9])
    np.testing.assert_array_equal(sketch.rows_of(np.array([9, 1])), [2, 0])
    with pytest.raises(UserError, match="does not hold layer 6"):
        sketch.rows_of(np.array([1, 6]))
