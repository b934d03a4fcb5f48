"""Models through actors on a Ray that is there as long as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import ray
from ray import cloudpickle

from distributed import actor_process
from distributed.actor import ExtractionActor
from distributed.cluster import connected
from distributed.environment import environment_for_workers
from distributed.hub.shared_budget import shared
from distributed.outcomes import Outcome
from distributed.pool import ExtractionPool, PoolSettings
from distributed.progress import Reporter
from distributed.references import ModelReference
from distributed.rooms import Need
from distributed.settings import ExtractionRun
from distributed.store import Store


def extracted(
    arriving: Iterable[Sequence[ModelReference]],
    run: ExtractionRun,
    store: Store,
    reporter: Reporter,
    deaths: Mapping[str, int],
) -> Generator[Outcome, None, None]:
    """One outcome for each reference that arrives (see ``ExtractionPool.run``), in the order they end.

    Raises:
        ClusterError: there is no Ray, or no actor can start or be placed.
        UnusableStoreError: the actors can't use the store.
    """
    cluster = run.cluster
    with connected(cluster), shared() if run.asks_hub else nullcontext() as requests:
        settings = PoolSettings(
            actors=None if cluster.actors is None else max(1, cluster.actors),
            need=Need(cluster.num_cpus, cluster.num_gpus, cluster.memory),
            wait=cluster.wait,
            max_bytes_in_flight=run.extract.max_bytes_in_flight,
            max_attempts=run.extract.max_attempts,
        )
        pool = ExtractionPool(_actors(run, store, requests), settings, reporter)
        yield from pool.run(arriving, deaths)


def _actors(run: ExtractionRun, store: Store, requests: Any) -> Callable[[Collection[str]], Any]:
    """What gives an actor's handle, on none of the nodes with the given ids."""
    cluster = run.cluster
    options = {"num_cpus": cluster.num_cpus, "num_gpus": cluster.num_gpus, "max_restarts": 0}
    if cluster.memory is not None:
        options["memory"] = cluster.memory
    device = "cuda" if cluster.num_gpus else "cpu"
    make = partial(
        ExtractionActor,
        store.settings,
        run.extract,
        int(cluster.num_cpus),
        device,
        environment_for_workers(),
        run.hub,
        requests,
        run.log,
    )
    cloudpickle.register_pickle_by_value(actor_process)
    process, packed = ray.remote(actor_process.ExtractionProcess), cloudpickle.dumps(make)

    def new_actor(but: Collection[str]) -> Any:
        elsewhere = {"label_selector": {"ray.io/node-id": f"!in({','.join(sorted(but))})"}} if but else {}
        return process.options(**options, **elsewhere).remote(packed)

    return new_actor
