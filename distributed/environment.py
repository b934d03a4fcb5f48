"""What a worker on another node must know of the driver's environment to reach the Hub as the driver does.

The proxies in either spelling, as every client reads them, and the certificates that a proxy or mirror is trusted by.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

#: Files and folders of certificates: httpx's, requests' and curl's names.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_WORKER_VARIABLES = (
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DISABLE_XET",
    *_PROXIES,
    *map(str.lower, _PROXIES),
    *_CERTIFICATES,
)


def environment_for_workers() -> dict[str, str]:
    """The variables of this process that concern the Hub, the token included.

    They are given to an actor's constructor, not to Ray's ``runtime_env``: Ray shows that to whoever may see its jobs.
    """
    return {name: os.environ[name] for name in _WORKER_VARIABLES if name in os.environ}


def take_over(environment: Mapping[str, str]) -> None:
    """Set a driver's variables in this process; a path of certificates only where this machine has it."""
    for name, value in environment.items():
        if name not in _CERTIFICATES or any(map(os.path.exists, value.split(os.pathsep))):
            os.environ[name] = value
