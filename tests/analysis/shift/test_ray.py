"""The command by threads, which start no Ray, and on a Ray."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.shift.__main__ import main
from tests.cli import called, run_command
from tests.stores import sample_models, write_store


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_threads_and_ray_give_the_same(tmp_path: Path) -> None:
    """Few filters start no Ray: it is not even imported."""
    program = """
import sys
from analysis.shift.__main__ import main
try:
    main()
finally:
    print("imported:", {"ray", "torch"} & set(sys.modules))
"""
    store = write_store(tmp_path / "one", sample_models())
    done = run_command("-c", program, f"store.uri={store}", "axes=[task]", "out=r1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "imported: set()" in done.stdout
    assert "2 scans" in done.stdout
    store = write_store(tmp_path / "two", sample_models())
    done = called(main, f"store.uri={store}", "axes=[task]", "out=r2", "cluster.local_ray_from=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 scans" in done.stdout
    for name in ("shift_task.parquet", "sketch.parquet"):
        assert pq.read_table(tmp_path / "r1" / name).equals(pq.read_table(tmp_path / "r2" / name)), name
