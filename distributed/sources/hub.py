"""Models of the Hugging Face Hub: repositories named, and repositories that a query finds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not marked as exported

from distributed.errors import FilterShiftError, SkipReason, SourceError
from distributed.hub.client import get_pages, require_hub
from distributed.hub.refusals import one_line
from distributed.references import ModelReference
from distributed.sources.contents import not_read
from distributed.sources.files import RARE_SUFFIXES, SUFFIXES, find_models, preference
from distributed.sources.metadata import metadata_of
from distributed.sources.naming import in_order
from distributed.sources.repositories import (
    Refusal,
    Repository,
    describe,
    fetch_repository,
    in_parallel,
    one_by_content,
    reference_of,
)
from distributed.sources.settings import HubSettings
from distributed.suggestions import did_you_mean

logger = logging.getLogger(__name__)

#: Our names of sort orders → the Hub's.
SORT_KEYS: dict[str, str] = {
    "downloads": "downloads",
    "likes": "likes",
    "created_at": "createdAt",
    "last_modified": "lastModified",
    "trending_score": "trendingScore",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository to list; ``revision`` None is its main branch."""

    repo: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """``repo`` or ``repo@revision``."""
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


def list_hub(settings: HubSettings) -> list[ModelReference]:
    """References to the models of the repositories named and queried, pinned to commit hashes.

    Repositories that are gated, private, missing or without a weight file are listed with their problem.

    Raises:
        SourceError: neither repositories nor a query are given, an id or sort order is wrong, or the Hub is out of
            reach.
    """
    named = [_wanted(each) for each in settings.repos]
    is_query = bool(settings.author or settings.tags or settings.task or settings.library)
    if not named and not is_query:
        raise SourceError("source=hub needs source.repos=[id, …] or a query: source.author, tags, task or library")
    if settings.sort not in SORT_KEYS:
        meant = did_you_mean(settings.sort, SORT_KEYS)
        raise SourceError(f"source.sort must be one of {', '.join(SORT_KEYS)}, found {settings.sort!r}{meant}")
    if settings.limit is not None and settings.limit < 1:
        raise SourceError(f"source.limit must be at least 1 or null, found {settings.limit}")
    require_hub()
    wanted = list(dict.fromkeys([*named, *(_query(settings) if is_query else ())]))
    if not wanted:
        raise SourceError(
            f"the query found no repository at {constants.ENDPOINT}: loosen author, tags, task or library"
        )
    listed = in_parallel(lambda each: _references_of(each, settings.files), wanted, settings.threads)
    return in_order(one_by_content([reference for references in listed for reference in references]))


def _wanted(text: str) -> Wanted:
    repo, _, revision = text.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise SourceError(f"source.repos: {text!r} is not a repository id ({one_line(error)})") from error
    return Wanted(repo, revision or None)


def _query(settings: HubSettings) -> list[Wanted]:
    every: dict[str, object] = {
        "sort": SORT_KEYS[settings.sort],
        "filter": [*settings.tags, *([settings.library] if settings.library else [])],
        "author": settings.author,
        "pipeline_tag": settings.task,
        "limit": settings.limit,
    }
    params = {key: value for key, value in every.items() if value}
    try:
        found = get_pages(f"{constants.ENDPOINT}/api/models", params)
        return [Wanted(str(item["id"])) for item in islice(found, settings.limit)]
    except FilterShiftError as error:
        raise SourceError(f"the Hub's listing failed ({one_line(error)}): run it again later") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{constants.ENDPOINT} does not answer as the Hub does ({one_line(error)})") from error


def _references_of(wanted: Wanted, patterns: Sequence[str]) -> list[ModelReference]:
    repository = fetch_repository(wanted.repo, wanted.revision)
    if isinstance(repository, Refusal):
        return [_without_model(wanted, None, repository.reason, repository.message)]
    try:
        models = find_models(repository.files, repository.read_text, patterns)
        if not models and not patterns:
            rare = [path for path in repository.files if path.lower().endswith(RARE_SUFFIXES)]
            models = find_models(repository.files, repository.read_text, also=rare)
    except FilterShiftError as error:
        return [_without_model(wanted, repository, SkipReason.UNREADABLE, str(error))]
    if not models:
        looked_for = ", ".join(patterns or SUFFIXES)
        there = not_read(Counter(PurePosixPath(path).suffix or "without suffix" for path in repository.files))
        message = f"{wanted.name}: no weight file; looked for {looked_for}{there and f'; {there}'}"
        return [_without_model(wanted, repository, SkipReason.UNSUPPORTED_FORMAT, message)]
    if not patterns and len(models) > 1:
        best = min(models, key=lambda each: preference(each.entry))
        logger.info("%s: took %s, left out %d other models (source.files)", wanted.name, best.entry, len(models) - 1)
        others = [each.entry for each in models if each is not best]
        models = [replace(best, left_out=(*best.left_out, *others))]
    try:
        models = [repository.with_external_data(model) for model in models]
    except FilterShiftError as error:
        return [_without_model(wanted, repository, SkipReason.UNREADABLE, str(error))]
    description = describe(repository)
    known = (metadata_of(description.facts), description.builder)
    many = len(models) > 1
    return [
        reference_of("hub", f"{wanted.name}/{model.entry}" if many else wanted.name, repository, model, known)
        for model in models
    ]


def _without_model(wanted: Wanted, repository: Repository | None, reason: str, message: str) -> ModelReference:
    return ModelReference(
        source="hub",
        name=wanted.name,
        root=wanted.repo,
        revision=repository.revision if repository is not None else wanted.revision,
        files=(),
        problem=(reason, message),
    )
