"""Benchmark 5: more cores, more nodes, and what each unit of work and each layer costs the driver.

    python -m benchmarks.scaling --rows 20e6 --nodes 1 2 4 8

Cores: both scans with a Ray of one CPU and of two, warm. Nodes: a simulated cluster (``ray.cluster_utils.Cluster``,
every node with one CPU, all on this machine, so that wall time says nothing): tasks per node, the driver's CPU time and
the bytes that went through it. Driver: its CPU time over stores of more units and of more layers, as a straight line;
docs/scaling.md builds on these constants.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import answer, arguments_of_child, made_folder, read_through, run_measured
from benchmarks.output import Column, Goal, Row, finish, number
from benchmarks.synthetic import make_store

COLUMNS = (
    Column("what", "what"),
    Column("rows", "filters", number(0)),
    Column("layers", "layers", number(0)),
    Column("nodes", "nodes", number(0)),
    Column("cores", "CPUs", number(0)),
    Column("units", "units", number(0)),
    Column("tasks_per_node", "tasks per node"),
    Column("seconds", "seconds", number(2)),
    Column("driver_cpu", "driver CPU s", number(3)),
    Column("bytes_out", "bytes to workers", number(0)),
    Column("bytes_in", "bytes to driver", number(0)),
)


def scan_twice(uri: str) -> Row:
    """Both scans on the Ray that is connected, the second time: what they took of the driver."""
    from analysis.arrays.basis import PrincipalAxes
    from analysis.arrays.moments import Moments
    from analysis.scanning.ray_workers import RayWorkers
    from analysis.scanning.scan import coefficient_extremes, layer_histograms
    from analysis.scanning.units import LayerIndex
    from distributed.store import Store
    from distributed.store.settings import StoreSettings

    store = Store.open(StoreSettings(uri))
    layers = store.layers()
    index, axes = LayerIndex.from_table(layers), PrincipalAxes.from_moments(Moments.from_layers(layers))
    row: Row = {}
    for _ in range(2):
        cpu = time.process_time()
        extremes, first = coefficient_extremes(store, index, axes, RayWorkers())
        basis = axes.with_range(float(extremes.low.min()), float(extremes.high.max()))
        _, second = layer_histograms(store, index, basis, RayWorkers())
        sent, received = zip(*(_bytes(each.statistics) for each in (first, second)), strict=True)
        row = {
            "rows": index.total_filters,
            "layers": int(index.layer_ids.size),
            "units": second.units,
            "seconds": first.seconds + second.seconds,
            "driver_cpu": time.process_time() - cpu,
            "bytes_out": sum(sent),
            "bytes_in": sum(received),
            "tasks_per_node": _tasks(second.statistics),
        }
    return row


def _bytes(statistics: str) -> tuple[int, int]:
    """What Ray Data put into its object store: units on the way out, results on the way back."""
    totals = [int(each) for each in re.findall(r"Output size bytes per block: .* (\d+) total", statistics)]
    return totals[0], totals[-1]


def _tasks(statistics: str) -> str:
    found = re.findall(r"Tasks per node: (\d+) min, (\d+) max, \d+ mean; (\d+) nodes used", statistics)
    low, high, nodes = found[-1]
    return f"{low}–{high} on {nodes}"


def child() -> None:
    """Arguments: ``uri``, and ``cpus`` for a Ray of so many or ``nodes`` for a simulated cluster."""
    given = arguments_of_child()
    if "cpus" in given:
        from distributed.cluster import connected
        from distributed.settings import ClusterSettings

        with connected(ClusterSettings(local_cpus=given["cpus"])):
            answer(scan_twice(given["uri"]))
        return
    import ray
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 100 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    try:
        for _ in range(given["nodes"] - 1):
            cluster.add_node(**small)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        answer(scan_twice(given["uri"]))
        ray.shutdown()
    finally:
        cluster.shutdown()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rows", type=float, default=4e6)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--folder", type=made_folder)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    size = int(given.rows)
    rows: list[Row] = []

    def run(what: str, folder: Path, **how: int) -> None:
        read_through(folder)
        found, usage = run_measured("benchmarks.scaling", {"child": True, "uri": str(folder), **how})
        cores = how.get("cpus", how.get("nodes"))
        rows.append({"what": what, "nodes": how.get("nodes", 1), "cores": cores, **found, "peak": usage.peak_bytes})
        print(f"{what} {how}: {found['seconds']:.2f} s", flush=True)

    with tempfile.TemporaryDirectory(dir=given.folder, prefix="scaling-") as place:
        even, small, tiny = Path(place, "even"), Path(place, "small"), Path(place, "tiny")
        make_store(even, size)
        for cpus in given.cores:
            run("cores", even, cpus=cpus)
        for nodes in given.nodes:
            run("nodes", even, nodes=nodes)
        make_store(small, size // 4)
        run("driver: fewer units", small, cpus=max(given.cores))
        make_store(tiny, size, "tiny-layers")
        run("driver: more layers", tiny, cpus=max(given.cores))
    finish("scaling", given.out, rows, COLUMNS, _draw, _findings(rows))


def _findings(rows: Sequence[Row]) -> list[Goal]:
    cores = [row for row in rows if row["what"] == "cores"]
    found = []
    if len(cores) > 1:
        times = cores[0]["seconds"] / cores[-1]["seconds"]
        more = cores[-1]["cores"] / cores[0]["cores"]
        text = f"{cores[0]['cores']} → {cores[-1]['cores']} cores: {times:.2f} times as fast (goal {0.8 * more:.1f})"
        found.append(Goal(text, times >= 0.8 * more))
    nodes = [row for row in rows if row["what"] == "nodes"]
    if nodes:
        most = max(nodes, key=lambda row: row["nodes"])
        through = (most["bytes_out"] + most["bytes_in"]) / most["rows"]
        text = f"{most['nodes']} nodes: {most['tasks_per_node']} tasks, {through:.4f} bytes through the driver a filter"
        found.append(Goal(text, through < 1.0))
    even, fewer, tiny = cores[-1], rows[-2], rows[-1]
    if even["units"] != fewer["units"]:
        unit = (even["driver_cpu"] - fewer["driver_cpu"]) / (even["units"] - fewer["units"])
        found.append(Goal(f"driver: {unit * 1e3:.1f} ms of CPU a unit, both scans (goal 50)", unit <= 0.05))
    layer = (tiny["driver_cpu"] - even["driver_cpu"]) / (tiny["layers"] - even["layers"])
    size = (tiny["bytes_in"] - even["bytes_in"]) / (tiny["layers"] - even["layers"])
    text = f"driver: {layer * 1e6:.0f} µs of CPU and {size:,.0f} bytes a layer (goal 50 and 3 000)"
    found.append(Goal(text, layer <= 50e-6 and size <= 3000))
    return found


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    panels = figure.subplots(1, 2)
    for panel, what, key in zip(panels, ("cores", "nodes"), ("seconds", "driver_cpu"), strict=True):
        points = [(row["cores"], row[key]) for row in rows if row["what"] == what]
        if points:
            panel.plot(*zip(*points, strict=True), "o-")
        panel.set(xlabel=what, ylabel={"seconds": "seconds", "driver_cpu": "driver CPU, seconds"}[key], ylim=(0, None))


if __name__ == "__main__":
    import sys

    # Started by ``run_measured`` with one JSON argument, by people with options or none.
    child() if len(sys.argv) == 2 and sys.argv[1].startswith("{") else main()
