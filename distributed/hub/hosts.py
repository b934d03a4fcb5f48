"""Which host is asked: the endpoint alone gets the token, a mirror stands for the original, a proxy is named."""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit, urlunsplit

from huggingface_hub import constants

from distributed.errors import PermanentError

#: Hosts that a mirror's answers may name though the mirror is meant.
ORIGINAL_HOSTS = frozenset({"huggingface.co", "hf.co", "www.huggingface.co"})

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """``scheme://host:port``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"


def is_endpoint(url: str) -> bool:
    """Whether the Hub itself (HF_ENDPOINT) is asked: its refusals are believed, and it may see the token."""
    return origin_of(url) == origin_of(constants.ENDPOINT)


def on_endpoint(url: str) -> str:
    """The same on the endpoint, where ``url`` names the original of which the endpoint is a mirror; else unchanged."""
    if is_endpoint(url) or urlsplit(url).hostname not in ORIGINAL_HOSTS:
        return url
    endpoint, parts = urlsplit(constants.ENDPOINT), urlsplit(url)
    return urlunsplit((endpoint.scheme, endpoint.netloc, endpoint.path.rstrip("/") + parts.path, parts.query, ""))


def endpoint_link(url: str, what: str) -> str:
    """A link of the endpoint's answer to the endpoint itself.

    Raises:
        PermanentError: it leads to another host.
    """
    link = on_endpoint(url)
    if not is_endpoint(link):
        raise PermanentError(
            f"{what}: {constants.ENDPOINT} says that it goes on at {origin_of(link)}, which is not asked: "
            "set HF_ENDPOINT to a host that answers for itself"
        )
    return link


def proxy_of(url: str) -> str | None:
    """The proxy through which ``url`` is asked, as the environment says; without its user's name and password."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return urlunsplit(urlsplit(proxy)._replace(netloc=urlsplit(proxy).netloc.rpartition("@")[2]))
