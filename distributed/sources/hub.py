"""Models of the Hugging Face Hub: repositories named, and repositories that a query finds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not marked as exported

from distributed.errors import FilterShiftError, SkipReason, SourceError
from distributed.hub.catalogue import Asking
from distributed.hub.pages import PAGE_SIZE, Listed, list_repositories
from distributed.hub.refusals import one_line
from distributed.hub.repository import Repository
from distributed.references import ModelReference, Problem
from distributed.sources.components import Component, components_of
from distributed.sources.contents import Listing, not_read
from distributed.sources.files import RARE_SUFFIXES, SUFFIXES, find_models
from distributed.sources.repositories import (
    Wanted,
    find_repository,
    or_problem,
    stream_repositories,
    with_listings,
)
from distributed.sources.repository_models import SmallFiles, describe, reference_of
from distributed.sources.settings import HubSettings
from distributed.sources.shards import WeightFiles
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


def stream_hub(settings: HubSettings, asking: Asking) -> Iterator[Listing]:
    """References to the models of the repositories named and queried, pinned to commit hashes, in parts.

    Repositories that are gated, private, missing, without a weight file, or on which the Hub failed are listed with
    their problem.

    Raises:
        SourceError: neither repositories nor a query are given, an id or sort order is wrong, the Hub is out of reach,
            or (after what was found before) a page of the query failed.
    """
    named = _named(settings.repos)
    is_query = bool(settings.author or settings.tags or settings.task or settings.library)
    if not named and not is_query:
        raise SourceError("source=hub needs source.repos=[id, …] or a query: source.author, tags, task or library")
    if settings.sort not in SORT_KEYS:
        meant = did_you_mean(settings.sort, SORT_KEYS)
        raise SourceError(f"source.sort must be one of {', '.join(SORT_KEYS)}, found {settings.sort!r}{meant}")
    if settings.limit is not None and settings.limit < 1:
        raise SourceError(f"source.limit must be at least 1 or null, found {settings.limit}")
    # What is named comes first, each repository once, whatever the query finds.
    main = {each.repo for each in named if None in each.revisions}
    found = (each for each in _query(settings, asking) if each.repo not in main) if is_query else ()

    def references_of(wanted: Wanted) -> list[ModelReference]:
        return [each for at in wanted.revisions for each in _references_at(wanted, at, settings.files, asking)]

    yield from stream_repositories(chain(with_listings(named, asking), found), references_of, settings.threads, asking)


def _named(repos: Sequence[str]) -> list[Wanted]:
    revisions: dict[str, list[str | None]] = {}
    for text in repos:
        repo, _, revision = text.partition("@")
        try:
            validate_repo_id(repo)
        except HFValidationError as error:
            raise SourceError(f"source.repos: {text!r} is not a repository id ({one_line(error)})") from error
        revisions.setdefault(repo, []).append(revision or None)
    return [Wanted(repo, tuple(dict.fromkeys(each))) for repo, each in revisions.items()]


def _query(settings: HubSettings, asking: Asking) -> Iterator[Wanted]:
    every: dict[str, object] = {
        "sort": SORT_KEYS[settings.sort],
        "filter": [*settings.tags, *([settings.library] if settings.library else [])],
        "author": settings.author,
        "pipeline_tag": settings.task,
        "limit": min(settings.limit or PAGE_SIZE, PAGE_SIZE),
    }
    count = 0
    try:
        query = {key: value for key, value in every.items() if value}
        for listed in islice(list_repositories(query, asking.access), settings.limit):
            count += 1
            yield Wanted(listed.id, listed=listed)
    except FilterShiftError as error:
        so_far = f" after {count} repositories" if count else ""
        raise SourceError(f"the Hub's listing failed{so_far} ({one_line(error)}): run it again later") from error
    if not count:
        raise SourceError(
            f"the query found no repository at {constants.ENDPOINT}: loosen author, tags, task or library"
        )


def _references_at(
    wanted: Wanted, revision: str | None, patterns: Sequence[str], asking: Asking
) -> list[ModelReference]:
    """The models of a repository at one revision, or the one problem that it has."""
    name = f"{wanted.repo}@{revision}" if revision else wanted.repo
    listed: Listed | None = wanted.listed if revision is None else None

    def without_model(commit: str | None, problem: Problem) -> list[ModelReference]:
        return [ModelReference("hub", name, wanted.repo, commit, (), problem=problem)]

    # The names on a page are enough to see that there is nothing to read: no request.
    if listed is not None and listed.paths is not None and not _models(listed.paths, lambda path: "", patterns):
        return without_model(listed.revision, _no_model(name, listed.paths, patterns))
    repository = or_problem(lambda: find_repository(wanted.repo, revision, listed, asking), name)
    if isinstance(repository, Problem):
        return without_model(revision, repository)
    references = or_problem(lambda: _references_of(name, repository, patterns, asking), name)
    if isinstance(references, Problem):
        return without_model(repository.revision, references)
    return references or without_model(repository.revision, _no_model(name, repository.files, patterns))


def _models(paths: Iterable[str], read_index: Callable[[str], str], patterns: Sequence[str]) -> list[WeightFiles]:
    known = list(paths)
    models = find_models(known, read_index, patterns)
    if models or patterns:
        return models
    return find_models(known, read_index, also=[path for path in known if path.lower().endswith(RARE_SUFFIXES)])


def _no_model(name: str, paths: Iterable[str], patterns: Sequence[str]) -> Problem:
    looked_for = ", ".join(patterns or SUFFIXES)
    there = not_read(Counter(PurePosixPath(path).suffix or "without suffix" for path in paths))
    message = f"{name}: no weight file; looked for {looked_for}{there and f'; {there}'}"
    return Problem(SkipReason.UNSUPPORTED_FORMAT, message)


def _references_of(name: str, repository: Repository, patterns: Sequence[str], asking: Asking) -> list[ModelReference]:
    """One reference a component; with patterns one a file."""
    small = SmallFiles(repository, asking)
    models = _models(repository.files, small.read_index, patterns)
    if patterns:
        parts = [Component("", model) for model in models]
        names = [f"{name}/{each.entry}" if len(models) > 1 else name for each in models]
    else:
        parts = components_of(models, repository.files)
        names = [f"{name}/{each.folder}" if each.folder else name for each in parts]
        left_out = sum(len(each.model.left_out) for each in parts)
        if left_out:
            logger.info("%s: left out %d files of the same models (source.files)", name, left_out)
    return [
        reference_of(
            "hub",
            called,
            repository,
            small.with_external_data(part.model),
            describe(repository, part.folder, part.model.entry),
        )
        for called, part in zip(names, parts, strict=True)
    ]
