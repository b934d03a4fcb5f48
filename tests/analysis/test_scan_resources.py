"""What a scan moves through Ray, and where it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.basis import PrincipalAxes
from analysis.moments import Moments
from analysis.scan import coefficient_extremes, layer_histograms
from analysis.units import LayerIndex
from distributed.errors import UserError
from tests.analysis.synthetic import write_store

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def bytes_through_ray(statistics: str) -> int:
    """All that Ray Data's operators put into the object store, by its own account."""
    totals = re.findall(r"Output size bytes per block: .* (\d+) total", statistics)
    assert len(totals) == 2, statistics  # the units, and what was made of them
    return sum(map(int, totals))


def test_nothing_raw_passes_through_the_object_store(tmp_path: Path) -> None:
    made = write_store(tmp_path, [[200_000, 150_000], [100_000, 9, 9], [150_000]])
    raw = 600_018 * 36
    index = LayerIndex.from_table(made.layers)
    axes = PrincipalAxes.from_moments(Moments.from_layers(made.layers))
    extremes, first = coefficient_extremes(made.store, index, axes)
    assert bytes_through_ray(first.statistics) < 1000 * first.units < raw / 1000
    basis = axes.with_range(float(extremes.low.min()), float(extremes.high.max()))
    _, second = layer_histograms(made.store, index, basis)
    counts = 9 * 72 * 4
    layers = index.layer_ids.size + second.units  # a layer may be divided between units
    assert counts * index.layer_ids.size < bytes_through_ray(second.statistics) < 1000 * second.units + layers * 2800


def test_devices_that_are_not_there_are_refused(tmp_path: Path) -> None:
    made = write_store(tmp_path, [[100]])
    index = LayerIndex.from_table(made.layers)
    axes = PrincipalAxes.from_moments(Moments.from_layers(made.layers))
    with pytest.raises(UserError, match="device=cuda: no node of this Ray offers a GPU; use device=auto or device=cpu"):
        coefficient_extremes(made.store, index, axes, device="cuda")
    with pytest.raises(UserError, match="device=tpu: choose one of auto, cpu, cuda"):
        coefficient_extremes(made.store, index, axes, device="tpu")
