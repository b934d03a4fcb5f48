"""The paged listing of repositories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.hub.repositories import Repo

_SHORT = ["likes", "trendingScore", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt"]
_FULL = ["author", "sha", "lastModified", "gated", "disabled", "siblings"]
_ASKED_BY_NAME = ["config", "cardData"]
#: What may be asked for by ``expand``, of those that this server knows.
EXPANDABLE = frozenset(_SHORT + _FULL + _ASKED_BY_NAME)

Query = dict[str, list[str]]


def expanded(query: Query) -> list[str]:
    """The properties asked for, in either of the spellings the Hub takes."""
    return query.get("expand", []) + query.get("expand[]", [])


def matches(repo: Repo, query: Query) -> bool:
    """Whether a query finds it."""
    author, task = repo.id.partition("/")[0], repo.card.get("pipeline_tag")
    return (
        query.get("author", [author]) == [author]
        and set(query.get("filter", [])) <= set(repo.tags)
        and query.get("pipeline_tag", [task]) == [task]
        and all(text in repo.id for text in query.get("search", []))
    )


def page_of(repos: Iterable[Repo], query: Query, most: int) -> tuple[list[Repo], int | None]:
    """The repositories of the page asked for, and where the next begins."""
    found = [repo for repo in repos if matches(repo, query)]
    if sort := query.get("sort"):
        found.sort(key=lambda repo: repo.ranks[sort[0]], reverse=True)
    start = int(query.get("cursor", ["0"])[0])
    stop = start + min(int(query.get("limit", ["1000"])[0]), most)
    return found[start:stop], stop if stop < len(found) else None


def item_of(repo: Repo, query: Query, gated: bool) -> dict[str, Any]:
    """A repository in a listing: few properties, unless more are asked for; sizes of files are never given."""
    info = repo.info(blobs=False, gated=gated)
    if wanted := expanded(query):
        return {key: info[key] for key in ("_id", "id", *wanted)}
    names = _SHORT + (_FULL if "full" in query else []) + [name for name in _ASKED_BY_NAME if name in query]
    return {key: info[key] for key in ("_id", "id", "modelId", *names)}
