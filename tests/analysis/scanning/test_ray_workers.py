"""What a scan moves through Ray, and where it runs."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest
import ray
import ray.data

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.scanning.ray_workers import RayWorkers
from analysis.scanning.reading import ReadPolicy
from analysis.scanning.scan import coefficient_extremes, layer_histograms
from analysis.scanning.task import UnitTask
from analysis.scanning.units import LayerIndex, WorkUnit, plan_units
from analysis.scanning.workers import scan_workers
from distributed.errors import UserError
from distributed.settings import ClusterSettings
from tests.analysis.scanning.stores import make_store

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def bytes_through_ray(statistics: str) -> int:
    """All that Ray Data's operators put into the object store, by its own account."""
    totals = re.findall(r"Output size bytes per block: .* (\d+) total", statistics)
    assert len(totals) == 2, statistics  # the units, and what was made of them
    return sum(map(int, totals))


def test_nothing_raw_passes_through_the_object_store(tmp_path: Path) -> None:
    workers = RayWorkers()
    made = make_store(tmp_path, [[200_000, 150_000], [100_000, 9, 9], [150_000]])
    raw = 600_018 * 36
    index = LayerIndex.from_table(made.layers)
    axes = PrincipalAxes.from_moments(Moments.from_layers(made.layers))
    extremes, first = coefficient_extremes(made.store, index, axes, workers)
    assert bytes_through_ray(first.statistics) < 1000 * first.units < raw / 1000
    basis = axes.with_range(float(extremes.low.min()), float(extremes.high.max()))
    _, second = layer_histograms(made.store, index, basis, workers)
    counts = 9 * 72 * 4
    layers = index.layer_ids.size + second.units  # a layer may be divided between units
    assert counts * index.layer_ids.size < bytes_through_ray(second.statistics) < 1000 * second.units + layers * 2800


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(UserError, match="device=cuda: no node of this Ray offers a GPU; use device=auto or device=cpu"):
        RayWorkers("cuda")
    with pytest.raises(UserError, match="device=tpu: choose one of auto, cpu, cuda"):
        RayWorkers("tpu")
    with pytest.raises(UserError, match="device=tpu"), scan_workers(ClusterSettings(), 1, "tpu"):
        raise AssertionError("entered")


def test_a_ray_that_is_connected_works_however_little_there_is() -> None:
    with scan_workers(ClusterSettings(), 1) as workers:
        assert isinstance(workers, RayWorkers)


def test_ray_data_is_left_as_it_was(tmp_path: Path) -> None:
    context = ray.data.DataContext.get_current()
    before = (context.op_resource_reservation_enabled, context.enable_progress_bars)
    made = make_store(tmp_path, [[100]])
    index = LayerIndex.from_table(made.layers)
    coefficient_extremes(made.store, index, PrincipalAxes.from_moments(Moments.from_layers(made.layers)), RayWorkers())
    assert (context.op_resource_reservation_enabled, context.enable_progress_bars) == before


def test_units_run_side_by_side_from_the_first_moment(tmp_path: Path) -> None:
    """Ray Data's own reservation would hand them out one by one for a second (see ``ray_workers``)."""
    made = make_store(tmp_path, [[100]] * 4)
    index = LayerIndex.from_table(made.layers)
    units = plan_units(index, made.store.filter_places(), 20_000)
    assert len(units) == 4
    workers = RayWorkers()
    task = UnitTask(_wait_for_another, made.store, None, ReadPolicy(attempts=1))  # type: ignore[arg-type]
    list(workers.results(task, units))  # worker processes start
    times = sorted((found["began"], found["ended"]) for found in workers.results(task, units))
    assert any(second[0] < first[1] for first, second in itertools.pairwise(times)), times


def _wait_for_another(unit: WorkUnit, *_: object) -> dict[str, float]:
    began = time.time()
    time.sleep(0.15)
    return {"filters": 100, "began": began, "ended": time.time()}
