"""Bytes that changed after extraction: noticed, or too small to move a coefficient by more than 1e-8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.kernels import kernels_for
from analysis.arrays.moments import Moments
from analysis.scanning.reading import ReadPolicy, scan_histograms
from analysis.scanning.sketching import sketch_of_store
from analysis.scanning.units import LayerIndex, plan_units
from distributed.errors import StoreError
from tests.analysis.scanning.stores import MadeStore, make_store

KERNELS = kernels_for("cpu")


def counts_of(made: MadeStore, basis: Basis) -> np.ndarray:
    """What the second scan does, without Ray: counts (L, 9, bins + 2), checked against the layers table.

    Raises:
        StoreError: they contradict each other, or the file cannot be read.
    """
    index = LayerIndex.from_table(made.layers)
    counts = np.zeros((index.layer_ids.size, 9, basis.bins + 2), np.int64)
    checks = np.zeros(index.layer_ids.size)
    for unit in plan_units(index, made.store.filter_places(), 1 << 20):
        found = scan_histograms(unit, pafs.LocalFileSystem(), KERNELS, basis, ReadPolicy(1))
        at = np.searchsorted(index.layer_ids, found["layer_ids"])
        counts[at] += found["counts"]
        checks[at] += found["checks"]
    index.check_filters(counts[:, 0].sum(axis=1))
    index.check_sums(checks)
    return counts


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, [[3000, 9, 500]])


def basis_of(made: MadeStore) -> Basis:
    return PrincipalAxes.from_moments(Moments.from_layers(made.layers)).with_range(-3.5, 3.5)


def test_a_flipped_bit_never_gives_other_counts_unnoticed(made: MadeStore) -> None:
    basis, path = basis_of(made), made.path(made.model_ids[0])
    expected, content = counts_of(made, basis), path.read_bytes()
    rng = np.random.default_rng(0)
    messages: list[str] = []
    for at in rng.integers(4, len(content), 400):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = counts_of(made, basis)
        except StoreError as error:
            messages.append(str(error))
        else:
            # One weight by less than 1e-8: at most that filter's coefficients cross an edge.
            assert np.abs(found - expected).sum() <= 18
    assert len(messages) > 300
    assert not any("\n" in message for message in messages)


def test_exchanged_columns_are_noticed(made: MadeStore) -> None:
    basis, path = basis_of(made), made.path(made.model_ids[0])
    table = pq.read_table(path)
    w0, w1 = table.column("w0"), table.column("w1")
    pq.write_table(table.set_column(1, table.schema.field("w0"), w1).set_column(2, table.schema.field("w1"), w0), path)
    with pytest.raises(StoreError, match=r"model 0+100000: the filters of layer \d+ in filters/ are not those that"):
        counts_of(made, basis)


def test_the_filters_of_another_model_are_noticed(tmp_path: Path) -> None:
    """Same layers, same numbers of filters, other weights: a file restored from the wrong place."""
    made, other = make_store(tmp_path / "a", [[3000, 9]]), make_store(tmp_path / "b", [[3000, 9]], seed=1)
    basis = basis_of(made)
    made.path(made.model_ids[0]).write_bytes(other.path(other.model_ids[0]).read_bytes())
    with pytest.raises(StoreError, match="the file is damaged or was changed; extract the model again"):
        counts_of(made, basis)


def test_a_foreign_file_among_the_filters_is_not_read(made: MadeStore) -> None:
    basis = basis_of(made)
    expected = counts_of(made, basis)
    made.path("0" * 16).write_bytes(b"not ours")
    made.path(made.model_ids[0]).with_name("notes.txt").write_text("nor this")
    np.testing.assert_array_equal(counts_of(made, basis), expected)


def test_no_basis_is_kept_of_damaged_filters(made: MadeStore) -> None:
    """Its range would come from wrong weights, and the repaired store has the same key."""
    path = made.path(made.model_ids[0])
    content = path.read_bytes()
    table = pq.read_table(path)
    w3 = table.column("w3").to_numpy().copy()
    w3[1234] *= -1
    pq.write_table(table.set_column(4, table.schema.field("w3"), [w3]), path)
    with pytest.raises(StoreError, match="are not those that scaled_sum"):
        sketch_of_store(made.store, made.layers)
    assert not list(path.parents[1].glob("sketches/**/*.*"))
    path.write_bytes(content)
    sketch = sketch_of_store(made.store, made.layers)
    assert sketch.origin is not None
    assert sketch.origin.rows == 2 * 3509
    assert len(list(path.parents[1].glob("sketches/**/*.*"))) == 2
