"""What a worker on another node must know of the driver's environment to reach the Hub as the driver does."""

from __future__ import annotations

import os

_WORKER_VARIABLES = (
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DISABLE_XET",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


def environment_for_workers() -> dict[str, str]:
    """The variables of this process that concern the Hub, the token included.

    They are given to an actor's constructor, not to Ray's ``runtime_env``: Ray shows that to whoever may see its jobs.
    """
    return {name: os.environ[name] for name in _WORKER_VARIABLES if name in os.environ}
