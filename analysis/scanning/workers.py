"""Who runs the units of a scan: threads of this process, or a Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from analysis.scanning.task import Workers, check_device
from analysis.scanning.thread_workers import ThreadWorkers
from distributed.cluster import connected, connected_ray
from distributed.settings import ClusterSettings


@contextmanager
def scan_workers(cluster: ClusterSettings, filters: int, device: str = "auto") -> Iterator[Workers]:
    """Workers for scans of ``filters`` filters; what is started for them ends with the context.

    On this machine alone (``cluster.address`` is ``local`` and no Ray is connected yet) fewer filters than
    ``cluster.local_ray_from`` are read by threads of this process: starting Ray would take longer than the scans.
    Otherwise the Ray of ``cluster`` works, on GPUs where ``device`` and its nodes say so.

    Raises:
        UserError: there is no such device, or no Ray at ``cluster.address``.
    """
    check_device(device)
    here = cluster.address == "local" and filters < cluster.local_ray_from and device != "cuda"
    if here and connected_ray() is None:
        yield ThreadWorkers(cluster.local_cpus)
        return
    from analysis.scanning.ray_workers import RayWorkers  # Ray and Ray Data take a second to import

    with connected(cluster):
        yield RayWorkers(device)
