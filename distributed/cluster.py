"""Joining or starting Ray, and leaving it as it was found. Ray itself, a second to import, is imported when needed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from distributed.errors import ClusterError, first_line
from distributed.interrupt import take_sigterm
from distributed.settings import ClusterSettings

#: Where this project's packages lie: a checkout, or an installation.
_ROOT = Path(__file__).resolve().parents[1]


def connected_ray() -> ModuleType | None:
    """The module ``ray`` if this process is connected to one, for code that a run without one also passes through."""
    ray = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None


@contextmanager
def connected(cluster: ClusterSettings) -> Iterator[None]:
    """A Ray to work on: the one already joined by this process, a running one, or one of our own on this machine.

    What is started here is shut down at the end; a Ray that was there before is left running.

    Raises:
        ClusterError: there is no Ray at ``cluster.address``.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a notice about future defaults
    options: dict[str, Any] = {"address": cluster.address, "logging_level": logging.WARNING, "log_to_driver": False}
    if cluster.address == "local":
        # Our own Ray takes a token of its own and nobody else joins it: its notice on tokens is not news to anyone.
        logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
        options |= {
            "num_cpus": cluster.local_cpus,
            "include_dashboard": False,
            "object_store_memory": cluster.object_store_memory,
        }
    try:
        # Workers search the folder that is current now before every other: they must find our packages as this process
        # did, whatever lies in the folder where the command was typed.
        with chdir(_ROOT):
            ray.init(**options)
    except Exception as error:  # Ray raises bare ones, too: a machine on which it does not come up in time
        raise ClusterError(
            f"cannot reach Ray at {cluster.address!r}: {first_line(error)} "
            "(start one with 'ray start --head', or use cluster=local)"
        ) from error
    take_sigterm()
    try:
        yield
    finally:
        ray.shutdown()
