"""Room for actors: what is free on each node, of every resource an actor needs, other tenants counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from distributed.progress import human_bytes

#: Ray counts in ten thousandths: 0.3 / 0.1 is three actors.
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Need:
    """What Ray reserves for one actor; ``memory`` in bytes."""

    cpus: float
    gpus: float = 0.0
    memory: int | None = None

    @property
    def resources(self) -> dict[str, float]:
        """By Ray's names; nothing that isn't asked for."""
        asked = {"GPU": self.gpus, "CPU": self.cpus, "memory": float(self.memory or 0)}
        return {name: amount for name, amount in asked.items() if amount}

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many actors find room in these; one where an actor needs nothing."""
        rooms = (resources.get(name, 0.0) / amount for name, amount in self.resources.items())
        return int(min(rooms, default=1.0) + _ROUNDING)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that lives: what it is called, and its resources, free ones and all."""

    node_id: str
    name: str
    free: Mapping[str, float]
    total: Mapping[str, float]


def nodes() -> tuple[Node, ...]:
    """The nodes as the cluster knows them now, a tenth of a second old at most."""
    free = _free_per_node()
    return tuple(
        Node(each["NodeID"], node_name(each), free.get(each["NodeID"], {}), each["Resources"])
        for each in ray.nodes()
        if each["Alive"]
    )


def node_name(node: Mapping[str, Any]) -> str:
    """What people call it (a pod has its own host name), and what tells it from others there: ``gpu-3 (8f3a12cd)``."""
    return f"{node['NodeManagerHostname'] or node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _free_per_node() -> dict[str, dict[str, float]]:
    # Ray has no public way to ask this per node without its dashboard; its own libraries ask in this one.
    from ray._private.state import available_resources_per_node
    from ray.util.client import ray as client

    if client.is_connected():  # ray://…: nothing of the cluster is known here but through a task
        found = ray.get(ray.remote(num_cpus=0)(available_resources_per_node).remote())
    else:
        found = available_resources_per_node()
    return dict(found)


def shortage(need: Need, among: Sequence[Node]) -> str:
    """Why no actor finds room: ``each needs 1 GPU, the largest free node has 0``; "" where one does."""
    if any(need.fits(node.free) for node in among):
        return ""
    if not among:
        return "there is no node for them"
    largest = {name: max(node.free.get(name, 0.0) for node in among) for name in need.resources}
    lacking = {name: amount for name, amount in need.resources.items() if largest[name] + _ROUNDING < amount}
    if not lacking:
        return f"each needs {_in_words(need.resources)}, no node has these free together"
    found = " and ".join(_amount(name, largest[name], is_named=len(lacking) > 1) for name in lacking)
    return f"each needs {_in_words(lacking)}, the largest free node has {found}"


def _in_words(resources: Mapping[str, float]) -> str:
    return " and ".join(_amount(name, amount, is_named=True) for name, amount in resources.items())


def _amount(name: str, amount: float, *, is_named: bool) -> str:
    if name == "memory":
        return f"{human_bytes(amount)}{' of memory' if is_named else ''}"
    return f"{amount:g}{f' {name}' if is_named else ''}{'s' if is_named and amount > 1 else ''}"
