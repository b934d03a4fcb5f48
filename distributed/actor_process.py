"""The process of an actor, which can say where it is before anything of this project is imported there.

Its class travels by value: a node on which the project is missing, or can't be imported, is found out by name.
"""

from __future__ import annotations

from typing import Any


class ExtractionProcess:
    """Makes an ``ExtractionActor`` where Ray has put it, and passes everything on to it.

    Args:
        make: a pickled callable that gives the actor.
    """

    def __init__(self, make: bytes) -> None:
        self._make = make

    def where(self) -> str:
        """The id of its node."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def start(self, is_first: bool) -> Any:
        """See ``ExtractionActor.start``. Raises whatever keeps the project from being imported."""
        import pickle

        self._actor = pickle.loads(self._make)()
        return self._actor.start(is_first)

    def extract(self, reference: Any, attempt: int) -> Any:
        """See ``ExtractionActor.extract``. Whoever lists processes sees the model."""
        import ray

        ray._raylet.setproctitle(f"ray::extract {reference.name}")  # Ray puts its own back afterwards
        return self._actor.extract(reference, attempt)
