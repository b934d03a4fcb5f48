"""One budget for all processes of a cluster: a Ray actor beside the driver, which every other actor asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from distributed.hub import budget
from distributed.hub.budget import RateLimit, RequestBudget, RequestKind


class SharedBudget:
    """``Budget`` that another process keeps; ``handle`` is its Ray actor, and crosses to other processes."""

    def __init__(self, handle: Any) -> None:
        import ray

        self._handle, self._get = handle, ray.get

    def reserve(self, kind: RequestKind, what: str) -> float:
        """See ``Budget``."""
        return cast(float, self._get(self._handle.reserve.remote(kind, what)))

    def answered(self, kind: RequestKind, what: str, told: RateLimit | None) -> None:
        """See ``Budget``."""
        self._handle.answered.remote(kind, what, told)

    def refused(self, kind: RequestKind, what: str, seconds: float) -> None:
        """See ``Budget``."""
        self._handle.refused.remote(kind, what, seconds)

    def sleeps(self, what: str, seconds: float) -> None:
        """See ``Budget``."""
        self._handle.sleeps.remote(what, seconds)

    def waiting(self) -> str:
        """See ``Budget``."""
        return cast(str, self._get(self._handle.waiting.remote()))

    def asked(self, kind: RequestKind) -> int:
        """See ``Budget``."""
        return cast(int, self._get(self._handle.asked.remote(kind)))

    def least_seconds(self, kind: RequestKind, requests: int) -> float:
        """See ``Budget``."""
        return cast(float, self._get(self._handle.least_seconds.remote(kind, requests)))


class _Keeper(RequestBudget):
    """What runs as the actor: goes on with what the driver knew."""

    def __init__(self, known: RequestBudget) -> None:
        self.__setstate__(known.__getstate__())


@contextmanager
def shared() -> Iterator[Any]:
    """Let the cluster that this process is connected to go on with its budget; gives the handle for other actors.

    The actor takes no CPU. Where its process dies it comes back with what was known at the start, and the next answer
    of the Hub tells the rest.
    """
    import ray

    own = budget.current()
    assert isinstance(own, RequestBudget), "shared already"
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    handle = ray.remote(_Keeper).options(**options).remote(own.moved())
    budget.use(SharedBudget(handle))
    try:
        yield handle
    finally:
        budget.use(None)
        ray.kill(handle)
