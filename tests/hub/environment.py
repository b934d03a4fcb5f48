"""What makes a process take a loopback server for the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class HasEndpoint(Protocol):
    """A server, in this process or another."""

    endpoint: str  # http://host:port


def hub_environment(server: HasEndpoint, home: Path) -> dict[str, str]:
    """What a process needs in its environment to take ``server`` for the Hub (subprocesses, Ray's ``env_vars``).

    ``home`` becomes HF_HOME: the user's cache and token are not touched.
    """
    return {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
