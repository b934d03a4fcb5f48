"""Paged listings of the Hub: for the price of one request what it says of up to a thousand repositories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import constants

from distributed.errors import RetryableError
from distributed.hub.client import get_pages
from distributed.hub.refusals import one_line
from distributed.hub.settings import HubAccess

#: Repositories asked for in one request: the most that the Hub gives.
PAGE_SIZE = 1000

#: What is asked of each repository of a page. Not the sizes of its files: those only a request of its own tells.
_FIELDS = ("sha", "siblings", "gated", "disabled")


@dataclass(frozen=True, slots=True)
class Listed:
    """What a page says of a repository.

    Attributes:
        id: ``owner/name``.
        revision: commit hash of its main branch; None where the server does not tell.
        paths: of its files; None where the server does not tell.
        is_gated: only those who were granted access may read it.
        is_disabled: nobody may.
    """

    id: str
    revision: str | None
    paths: tuple[str, ...] | None
    is_gated: bool
    is_disabled: bool


def list_repositories(query: Mapping[str, Any], access: HubAccess) -> Iterator[Listed]:
    """The repositories that a query of ``/api/models`` finds, in the server's order; a page is fetched when needed.

    Args:
        query: its parameters (``author``, ``filter`` …); ``limit`` is the size of a page.
        access: how the Hub is asked.

    Raises:
        FilterShiftError: as ``get_pages``; or what comes is not what the Hub answers.
    """
    params = {"limit": PAGE_SIZE, **query, "expand": list(_FIELDS)}
    for item in get_pages(f"{constants.ENDPOINT}/api/models", params, access):
        try:
            listed = _listed(item)
        except (KeyError, TypeError, AttributeError) as error:
            what = f"{constants.ENDPOINT} does not answer as the Hub does ({one_line(error)}): check HF_ENDPOINT"
            raise RetryableError(what) from error
        yield listed


def _listed(item: Any) -> Listed:
    siblings = item.get("siblings")
    return Listed(
        id=str(item["id"]),
        revision=str(item["sha"]) if item.get("sha") else None,
        paths=tuple(str(each["rfilename"]) for each in siblings) if isinstance(siblings, list) else None,
        is_gated=is_gated(item),
        is_disabled=bool(item.get("disabled")),
    )


def is_gated(answer: Mapping[str, Any]) -> bool:
    """Whether the API's answer of a repository says that access must be granted."""
    return answer.get("gated") not in (None, False, "false")
