"""Densities of pairs of coefficients of several axes in one pass over the filters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.arrays.basis import Basis
from analysis.scanning.densities import checked_pairs, pair_densities
from analysis.scanning.thread_workers import ThreadWorkers
from analysis.scanning.units import LayerIndex
from analysis.selection.grouping import Group, Grouping
from distributed.errors import StoreError, UserError
from tests.analysis.arrays.kernels.test_pairs import HIGH, LOW, by_numpy, projection
from tests.analysis.scanning.stores import make_store


def grouping_of(layers: list[int], codes: list[int], axis: str = "task") -> Grouping:
    groups = tuple(Group(f"g{code}", f"g{code} (1)", 1, 1, 1) for code in range(max(codes) + 1))
    return Grouping(axis, groups, np.array(layers), np.array(codes))


def synthetic_basis() -> Basis:
    where = projection()
    mean = -where.matrix.T @ where.offset  # so that the basis's own projection has this offset
    return Basis(mean, where.matrix, np.full(9, 1 / 9), LOW, HIGH, 70, 100)


def test_densities_of_several_axes_in_one_pass(tmp_path: Path) -> None:
    made = make_store(tmp_path / "store", [[700, 30, 500], [900], [256, 1]], row_group=300)
    ids = sorted(made.filters)
    index = LayerIndex.from_table(made.layers)
    # Layer 1 belongs to no group of the first axis; the last model to none of either: it is not read.
    first = grouping_of([ids[0], ids[2], ids[3]], [0, 1, 0])
    second = grouping_of([ids[3], ids[1]], [0, 1], "depth")
    found = pair_densities(
        made.store, index, [first, second], synthetic_basis(), ((1, 2), (9, 3)), ThreadWorkers(2), bins=48
    )
    for grouping, densities in zip((first, second), found, strict=True):
        for g in range(2):
            layers = grouping.layer_ids[grouping.codes == g].tolist()
            filters = np.concatenate([made.filters[layer] for layer in layers])
            assert densities.filters[g] == len(filters)
            for p, pair in enumerate([(0, 1), (8, 2)]):
                expected = by_numpy(filters, projection(), pair, 48)
                np.testing.assert_array_equal(densities.counts[g, p], expected)
    assert found[0].time.models == 2
    assert found[0].time.filters == 700 + 30 + 500 + 900
    made.path(made.model_ids[1]).write_bytes(b"PAR1 nonsense")
    with pytest.raises(StoreError, match="extract"):
        pair_densities(made.store, index, [first], synthetic_basis(), ((1, 2),), ThreadWorkers(2), bins=24)


def test_pairs_are_taken_once_and_in_order() -> None:
    assert checked_pairs(([3, 4], [1, 2], [3, 4])) == ((3, 4), (1, 2))
    with pytest.raises(UserError, match="is not a pair"):
        checked_pairs(([True, 2],))
