"""What tests share: the real checkpoints, one local Ray, and the turns of several workers (``make test``)."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

# Before anything imports torch or Ray: two cores, no telemetry, no chatter.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import pytest

from tests.turns import in_room

REPOSITORY = Path(__file__).resolve().parents[1]


@functools.cache
def _room_of(module: str) -> str:
    """What the tests of a module share with those of others."""
    text = (REPOSITORY / module).read_text(encoding="utf-8")
    if "local_ray" in text:
        return "the session's Ray"
    return "their own Ray" if re.search(r"mark\.(ray|alone)\b", text) else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker gets all modules that share the session's Ray, one those that start their own; others stay whole."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _room_of(nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # it would put the longest last: they are few
    return ByRoom(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, where there are several workers to begin."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        order = {"their own Ray": 0, "the session's Ray": 1}
        items.sort(key=lambda item: order.get(_room_of(item.nodeid.partition("::")[0]), 2))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Nothing runs beside a test marked ``alone``."""
    with in_room(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def checkpoints() -> Path:
    """The real trained checkpoints beside the checkout; the test skips where they are absent."""
    folder = REPOSITORY.parent / "shared" / "checkpoints"
    if not (folder / "manifest.yaml").is_file():
        pytest.skip("../shared/checkpoints is not on this machine")
    return folder


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A real Ray of two CPUs, shut down at the end of the session."""
    import ray

    # Unix socket paths are limited to 107 bytes: pytest's own temporary folders are too deep for Ray.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        _start_local_ray(folder)
        _local_ray_folders.append(folder)
        try:
            yield
        finally:
            ray.shutdown()


#: Where the session's own Ray keeps its files, once it has been started.
_local_ray_folders: list[str] = []


def _start_local_ray(folder: str) -> None:
    import ray

    options = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 256 * 1024**2}
    ray.init(address="local", log_to_driver=False, _temp_dir=folder, **options)


@pytest.fixture(scope="module")
def several_nodes() -> Iterator[Any]:
    """A real Ray of several nodes on this machine (``ray.cluster_utils.Cluster``): a head of one CPU, to add to.

    A process has one Ray: that of other tests is shut down before, and is there again afterwards.
    """
    import ray
    from ray.cluster_utils import Cluster

    other = _local_ray_folders if ray.is_initialized() else []
    ray.shutdown()
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        for folder in other:
            _start_local_ray(folder)
