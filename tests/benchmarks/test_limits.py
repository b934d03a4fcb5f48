"""Memory and skew at a reduced size, in real processes: minutes, and on a machine that does nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measuring import run_measured
from benchmarks.skew import GOAL, compare
from benchmarks.synthetic import make_store
from distributed.cluster import connected
from distributed.settings import ClusterSettings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("by", ["ray", "threads"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, by: str) -> None:
    largest, total = [], []
    for rows in (3_000_000, 24_000_000):
        folder, scratch = tmp_path / str(rows), tmp_path / f"scratch{rows}"
        scratch.mkdir()
        make_store(folder, rows)
        arguments = {"folder": str(folder), "scratch": str(scratch), "axes": ["task"], "what": "shift", "by": by}
        _, usage = run_measured("benchmarks.ours", arguments)
        largest.append(usage.peak_process_bytes)
        total.append(usage.peak_bytes)
    assert max(largest) < 1.5e9
    assert max(total) < 6e9
    # 21 million filters more are 756 MB.
    assert largest[1] - largest[0] < 150e6
    assert total[1] - total[0] < 300e6


def test_no_shape_of_a_store_takes_much_longer_than_the_even_one(tmp_path: Path) -> None:
    with connected(ClusterSettings()):
        rows = compare(tmp_path, 40_000_000, repeats=3)
    assert {row["layout"]: row["ratio"] for row in rows if row["ratio"] > GOAL} == {}
