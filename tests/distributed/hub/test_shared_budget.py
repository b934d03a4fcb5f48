"""Several processes of a real Ray within one budget."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from distributed.hub import budget, client
from distributed.hub.shared_budget import SharedBudget, shared
from tests.loopback_hub import LoopbackHub, Quotas, hub_environment

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


class Asker:
    """Asks for repositories by numbers, as an extraction actor would, from a process of its own."""

    def __init__(self, handle: object) -> None:
        budget.use(SharedBudget(handle))

    def ask(self, endpoint: str, numbers: range) -> int:
        return len([client.get_json(f"{endpoint}/api/models/many/net-{number:05}") for number in numbers])


def test_four_processes_never_overdraw_it(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.tiny, hub.quotas = 101, Quotas(api=30, window=3)
    client.get_json(f"{hub.endpoint}/api/models/many/net-00000")  # what listing learnt goes with it
    own = budget.current()
    environment = {"env_vars": hub_environment(hub, tmp_path / "home")}
    with shared() as handle:
        remote = ray.remote(Asker).options(num_cpus=0, runtime_env=environment)
        actors = [remote.remote(handle) for _ in range(4)]
        parts = [range(start, start + 25) for start in range(1, 101, 25)]
        asked = [actor.ask.remote(hub.endpoint, part) for actor, part in zip(actors, parts, strict=True)]
        assert sum(ray.get(asked, timeout=120)) == 100
        assert budget.current() is not own
        assert budget.current().waiting() == ""
        for actor in actors:
            ray.kill(actor)
    assert hub.counts()["429"] == 0
    assert hub.counts()["api"] == 101
    assert budget.current() is not own
