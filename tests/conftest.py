"""What tests share: the real checkpoints, one local Ray, and the turns of several workers (``make test``)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

# Before anything imports torch or Ray: two cores, no telemetry, no chatter.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import pytest

from tests.turns import in_room

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs Ray goes to one worker, so that one is started; other modules stay whole, with their fixtures."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        of_one_worker = {"ray", "alone"} & {marker.name for marker in item.iter_markers()}
        module = str(item.path.relative_to(REPOSITORY / "tests"))
        item.add_marker(pytest.mark.xdist_group("ray" if of_one_worker else module))


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
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Ray of two CPUs with a temporary folder of its own, shut down at the end of the session."""
    # Unix socket paths are limited to 107 bytes: pytest's own temporary folders are too deep for Ray.
    import tempfile

    import ray

    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=256 * 1024**2,
            _temp_dir=folder,
            log_to_driver=False,
        )
        try:
            yield
        finally:
            ray.shutdown()
