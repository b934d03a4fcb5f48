"""Models through actors on a Ray that is there as long as they are."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import ray

from distributed.actor import ExtractionActor
from distributed.cluster import connected
from distributed.environment import environment_for_workers
from distributed.hub.shared_budget import shared
from distributed.outcomes import Outcome
from distributed.pool import ExtractionPool, PoolSettings
from distributed.progress import Reporter
from distributed.references import ModelReference
from distributed.settings import ClusterSettings, ExtractionRun
from distributed.store import Store

logger = logging.getLogger(__name__)


def extracted(
    arriving: Iterable[Sequence[ModelReference]], run: ExtractionRun, store: Store, reporter: Reporter
) -> Generator[Outcome, None, None]:
    """One outcome for each reference that arrives (see ``ExtractionPool.run``), in the order they end.

    Raises:
        ClusterError: there is no Ray, or no actor can start.
    """
    with connected(run.cluster), shared() if run.asks_hub else nullcontext() as requests:
        settings = PoolSettings(
            actors=_number_of_actors(run.cluster),
            max_bytes_in_flight=run.extract.max_bytes_in_flight,
            max_attempts=run.extract.max_attempts,
        )
        yield from ExtractionPool(lambda: _new_actor(run, store, requests), settings, reporter).run(arriving)


def _new_actor(run: ExtractionRun, store: Store, requests: Any) -> Any:
    cluster = run.cluster
    options = {"num_cpus": cluster.num_cpus, "num_gpus": cluster.num_gpus, "max_restarts": 0}
    if cluster.memory is not None:
        options["memory"] = cluster.memory
    actor = ray.remote(ExtractionActor).options(**options)
    device = "cuda" if cluster.num_gpus else "cpu"
    return actor.remote(
        store.settings,
        run.extract,
        int(cluster.num_cpus),
        device,
        environment_for_workers(),
        run.hub,
        requests,
        run.log,
    )


def _number_of_actors(cluster: ClusterSettings) -> int:
    """As asked, or as many as the cluster's CPUs and GPUs hold."""
    if cluster.actors is not None:
        return max(1, cluster.actors)
    resources = ray.cluster_resources()
    rooms = [resources.get("CPU", 1.0) / cluster.num_cpus] if cluster.num_cpus else []
    if cluster.num_gpus:
        rooms.append(resources.get("GPU", 0.0) / cluster.num_gpus)
    fitting = int(min(rooms, default=1.0))
    if fitting < 1:
        logger.warning(
            "no node has room for an actor of %s CPUs and %s GPUs yet: waiting for one",
            cluster.num_cpus,
            cluster.num_gpus,
        )
    return max(1, fitting)
