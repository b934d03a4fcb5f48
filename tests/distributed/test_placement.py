"""Where actors go on a cluster of several real nodes: what has no room, nodes that come, go or are ill."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from distributed import crew
from distributed.errors import ClusterError
from distributed.outcomes import NotReady, Outcome, OutcomeKind
from distributed.pool import ExtractionPool, PoolSettings
from distributed.references import FileReference, ModelReference
from distributed.rooms import Need, Node, shortage

pytestmark = pytest.mark.ray

SMALL = {"object_store_memory": 80 * 1024**2}


@pytest.fixture
def cluster(several_nodes: Cluster) -> Iterator[Cluster]:
    """A head of one CPU to which a test adds nodes."""
    yield several_nodes
    for node in list(several_nodes.worker_nodes):
        several_nodes.remove_node(node)
    until = time.monotonic() + 30
    while sum(node["Alive"] for node in ray.nodes()) > 1 or ray.available_resources().get("CPU") != 1:
        assert time.monotonic() < until, "nodes or actors of this test stay"
        time.sleep(0.1)


class PlacedActor:
    """Extracts in as many seconds as the model's name says; ill where the folder has a file with its node's id."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def where(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def start(self, is_first: bool) -> NotReady | None:
        (self.folder / f"start-{self.where()}.{os.getpid()}").touch()
        ill = self.folder / self.where()
        return NotReady(ill.read_text()) if ill.exists() else None

    def extract(self, reference: ModelReference, attempt: int) -> Outcome:
        time.sleep(float(reference.name.split("-")[1]))
        return Outcome(reference, OutcomeKind.EXTRACTED, model_id=reference.name)


class Waits:
    """What the pool says it waits for, and when (seconds)."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def finished(self, outcome: Outcome) -> None: ...

    def retried(self, outcome: Outcome, wait: float) -> None: ...

    def tick(self, waiting: str = "") -> None:
        if not self.told or self.told[-1][1] != waiting:
            self.told.append((time.monotonic(), waiting))

    def __enter__(self) -> Waits:
        return self

    def __exit__(self, *exc: object) -> None: ...


def models(number: int, seconds: float) -> list[ModelReference]:
    names = [f"{index}-{seconds}" for index in range(number)]
    return [ModelReference("local", name, "/m", None, (FileReference(f"{name}.pth", 1, stamp=1),)) for name in names]


def pool_of(folder: Path, waits: Waits, need: Need, **settings: Any) -> ExtractionPool:
    options = {"num_cpus": need.cpus, "num_gpus": need.gpus, "memory": need.memory or 0, "max_restarts": 0}

    def new_actor(but: Collection[str]) -> Any:
        selector = {"ray.io/node-id": f"!in({','.join(but)})"} if but else {}
        return ray.remote(PlacedActor).options(**options, label_selector=selector).remote(str(folder))

    usual = {"actors": None, "need": need, "wait": 60.0, "max_bytes_in_flight": 10**9, "max_attempts": 3}
    return ExtractionPool(new_actor, PoolSettings(**{**usual, **settings}), waits)


def later(seconds: float, what: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


def starts(folder: Path, node: Any) -> int:
    return len(list(folder.glob(f"start-{node.node_id}.*")))


def test_who_finds_no_room_is_told_and_the_run_ends_in_time_or_at_once(cluster: Cluster, tmp_path: Path) -> None:
    for need, why in (
        (Need(1, gpus=1), "each needs 1 GPU, the largest free node has 0"),
        (Need(3), "each needs 3 CPUs, the largest free node has 1"),
        (Need(0.1, memory=1 << 50), "each needs 1125.9 TB of memory, the largest free node has"),
    ):
        began, waits = time.monotonic(), Waits()
        with pytest.raises(ClusterError, match="no actor was placed within 0 s") as raised:
            list(pool_of(tmp_path, waits, need, actors=50, wait=0.0).run([models(3, 0)]))
        assert why in str(raised.value)
        assert time.monotonic() - began < 5
    waits = Waits()
    with pytest.raises(ClusterError, match="within 3 s"):
        list(pool_of(tmp_path, waits, Need(3), actors=2, wait=3.0).run([models(3, 0)]))
    assert "waiting for 2 actors: each needs 3 CPUs, the largest free node has 1" in [told for _, told in waits.told]


def test_more_actors_than_room_stop_nothing_and_a_node_that_joins_is_used(cluster: Cluster, tmp_path: Path) -> None:
    waits, joined = Waits(), list[Any]()

    def arriving() -> Iterator[list[ModelReference]]:
        yield models(60, 0.5)
        while not any("each needs" in told for _, told in waits.told):
            yield []
        joined.append(cluster.add_node(num_cpus=2, **SMALL))

    outcomes = list(pool_of(tmp_path, waits, Need(1), actors=50).run(arriving()))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.EXTRACTED}
    assert starts(tmp_path, cluster.head_node) == 1
    assert starts(tmp_path, joined[0]) == 2
    assert "waiting for 49 actors: each needs 1 CPU, the largest free node has 0" in [told for _, told in waits.told]


def test_another_tenant_leaves_and_as_many_as_fit_are_started(cluster: Cluster, tmp_path: Path) -> None:
    large = cluster.add_node(num_cpus=2, **SMALL)
    tenant = ray.remote(PlacedActor).options(num_cpus=2).remote(str(tmp_path))
    ray.get(tenant.where.remote())
    later(4, lambda: ray.kill(tenant))
    outcomes = list(pool_of(tmp_path, Waits(), Need(2), wait=30.0).run([models(2, 0.1)]))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.EXTRACTED}
    assert starts(tmp_path, large) == 1


def test_a_lost_node_whose_room_does_not_come_back_ends_the_run_with_the_rest_done(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "SETTLE_SECONDS", 3.0)
    large = cluster.add_node(num_cpus=2, **SMALL)
    outcomes = pool_of(tmp_path, Waits(), Need(2), wait=3.0).run([[*models(1, 0), *models(2, 60)]])
    assert next(outcomes).reference.name == "0-0"
    cluster.remove_node(large)
    gone = time.monotonic()
    with pytest.raises(ClusterError, match="each needs 2 CPUs, the largest free node has 1"):
        list(outcomes)
    assert time.monotonic() - gone < 20


def test_an_ill_node_is_set_aside_by_name_after_one_start_and_the_good_one_goes_on(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ill = cluster.add_node(num_cpus=3, **SMALL)
    (tmp_path / ill.node_id).write_text("No module named 'torch'")
    outcomes = list(pool_of(tmp_path, Waits(), Need(1), actors=4).run([models(8, 0.1)]))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.EXTRACTED}
    assert (starts(tmp_path, ill), starts(tmp_path, cluster.head_node)) == (1, 1)
    (line,) = [each.getMessage() for each in caplog.records if "set aside" in each.getMessage()]
    assert f"({ill.node_id[:8]}) is set aside: No module named 'torch'" in line
    assert all(cluster.head_node.node_id[:8] in (outcome.node or "") for outcome in outcomes)

    (tmp_path / cluster.head_node.node_id).write_text("No module named 'torch'")
    with pytest.raises(ClusterError, match=r"^no node can do the work: No module named 'torch'$"):
        list(pool_of(tmp_path, Waits(), Need(1), actors=4).run([models(8, 0.1)]))
    assert (starts(tmp_path, ill), starts(tmp_path, cluster.head_node)) == (2, 2)


def test_idle_actors_give_their_room_to_others(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "IDLE_SECONDS", 1.0)
    cluster.add_node(num_cpus=1, **SMALL)
    found: list[str] = []

    def arriving() -> Iterator[list[ModelReference]]:
        yield [*models(1, 0), *models(1, 12)]
        tenant = ray.remote(PlacedActor).options(num_cpus=1).remote(str(tmp_path))
        ref = tenant.where.remote()
        while not ray.wait([ref], timeout=0)[0]:
            yield []
        found.append(ray.get(ref))

    names = [outcome.reference.name for outcome in pool_of(tmp_path, Waits(), Need(1)).run(arriving())]
    assert names == ["0-0", "0-12"]
    assert found


@pytest.mark.parametrize(
    ("need", "free", "why"),
    [
        (Need(1), [{"CPU": 0.5}, {"CPU": 1.0}], ""),
        (Need(1), [{}, {"CPU": 0.5}], "each needs 1 CPU, the largest free node has 0.5"),
        (Need(1, 1), [{}], "each needs 1 GPU and 1 CPU, the largest free node has 0 GPU and 0 CPU"),
        (
            Need(1, 0, 8 * 10**9),
            [{"CPU": 1, "memory": 4e9}],
            "each needs 8.0 GB of memory, the largest free node has 4.0 GB",
        ),
        (Need(1, 1), [{"CPU": 1}, {"GPU": 1}], "each needs 1 GPU and 1 CPU, no node has these free together"),
        (Need(1), [], "there is no node for them"),
    ],
)
def test_a_shortage_is_told_by_what_is_lacking(need: Need, free: list[dict[str, float]], why: str) -> None:
    assert shortage(need, [Node(str(each), str(each), each, each) for each in free]) == why
