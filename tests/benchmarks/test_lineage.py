"""Lineages that are planted among strangers are found, all of them and no other; in time and memory for thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.lineage import goals, rows_of, run_once, write_families


def test_planted_lineages_are_found(tmp_path: Path) -> None:
    planted = write_families(tmp_path / "store", 100)
    found = run_once({"store": str(tmp_path / "store")})
    assert (found["lineages"], found["layers"]) == (planted, 3300)
    # Two families of ten fine-tunes and ten of a backbone are all pairs; the others are two of two.
    assert 45 + 2 * 9 + 2 <= found["ties"] <= 3 * 45 + 2


@pytest.mark.slow
def test_five_thousand_models_within_a_minute_and_two_gigabytes(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "store", 5000)
    assert all(row["lineages"] == row["planted"] for row in rows)
    assert min(rows[0]["seconds"], rows[0]["cpu"]) < 60  # wall time is the neighbours' as well, CPU that of all threads
    assert rows[0]["peak"] < 2e9
    assert all(goal.text for goal in goals(rows))
