"""Goals of the benchmarks are met by the figures of the documents, and missed by worse ones: each can fail."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import scaling, shift

#: One core and two, one node and eight, fewer units, more layers: about what docs/scaling.md tells.
AS_MEASURED: list[dict[str, Any]] = [
    {"what": "cores", "cores": 1, "nodes": 1, "seconds": 10.0, "driver_cpu": 1.0, "units": 64, "layers": 1000},
    {"what": "cores", "cores": 2, "nodes": 1, "seconds": 5.0, "driver_cpu": 1.5, "units": 64, "layers": 1000},
    {"what": "nodes", "cores": 8, "nodes": 8, "seconds": 5.0, "driver_cpu": 1.5, "units": 64, "layers": 1000},
    {"what": "driver: fewer units", "cores": 2, "seconds": 2.0, "driver_cpu": 0.4, "units": 16, "layers": 300},
    {"what": "driver: more layers", "cores": 2, "seconds": 6.0, "driver_cpu": 1.8, "units": 64, "layers": 21_000},
]


def findings(number: int | None = None, **worse: float) -> list[bool | None]:
    rows = [
        {"rows": 50_000_000, "tasks_per_node": "3–6 on 8", "bytes_out": 60_000, "bytes_in": 2600 * row["layers"], **row}
        for row in AS_MEASURED
    ]
    if number is not None:
        rows[number] |= worse
    return [goal.met for goal in scaling._findings(rows)]


@pytest.mark.parametrize(
    ("number", "worse", "missed"),
    [
        (None, {}, []),
        (1, {"seconds": 7.0}, [0]),  # 1.4 times as fast on two cores
        (2, {"bytes_out": 60_000_000}, [1]),
        (3, {"driver_cpu": -2.0}, [2]),  # 73 ms a unit more than the even store
        (4, {"driver_cpu": 3.5}, [3]),  # 100 µs a layer
        (4, {"bytes_in": 21_000 * 4000}, [3]),
    ],
)
def test_each_goal_of_scaling_can_be_missed(number: int | None, worse: dict[str, float], missed: list[int]) -> None:
    assert findings(number, **worse) == [index not in missed for index in range(4)]


def test_a_speed_is_promised_at_one_size_only() -> None:
    def verdict(rows: int, ours: float) -> bool | None:
        row = {"rows": rows, "what": "shift", "cold": 2 * ours, "largest": 1e9, "peak": 2e9}
        measured = [{**row, "who": "published", "seconds": 100.0}, {**row, "who": shift.OURS, "seconds": ours}]
        return shift.goals(measured)[0].met

    assert verdict(20_000_000, 10.0) is True
    assert verdict(20_000_000, 14.0) is False
    assert verdict(2_000_000, 14.0) is None
