"""Repositories of the Hub: which are wanted, what the Hub says of each, and what stands in the way."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote

from huggingface_hub import constants, get_token

from distributed.errors import FilterShiftError, RetryableError, SkipReason, SourceError, UnextractableError
from distributed.hub.catalogue import Asking
from distributed.hub.client import get_json, require_hub
from distributed.hub.pages import PAGE_SIZE, Listed, is_gated, list_repositories
from distributed.hub.refusals import one_line
from distributed.hub.repository import Repository, repository_of
from distributed.references import ModelReference, Problem
from distributed.sources.contents import Listing
from distributed.sources.in_parts import in_parts
from distributed.sources.naming import UniqueNames

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Of one owner as many wanted repositories or more are looked for in the pages of the owner's listing.
PAGES_FROM = 3

#: Repositories of an owner passed over for each one that is wanted, before the rest is asked for one by one.
_PASSED_OVER = 100

#: Repositories in a row that the Hub failed on, after which it is taken to be out of order, and left in peace.
MOST_FAILURES = 100

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository to list, at each of ``revisions`` (None: its main branch); ``listed`` is what a page says of it."""

    repo: str
    revisions: tuple[str | None, ...] = (None,)
    listed: Listed | None = None


def with_listings(wanted: Sequence[Wanted], asking: Asking) -> Iterator[Wanted]:
    """The same repositories, those of owners with several of them with what the owner's listing says."""
    by_owner: dict[str, dict[str, Wanted]] = {}
    for each in wanted:
        by_owner.setdefault(each.repo.partition("/")[0], {})[each.repo] = each
    for owner, theirs in sorted(by_owner.items(), key=lambda item: len(item[1])):
        missing = {repo: each for repo, each in theirs.items() if None in each.revisions}
        yield from (each for repo, each in theirs.items() if repo not in missing)
        if len(missing) >= PAGES_FROM:
            yield from _found_in_pages(owner, missing, asking)
        yield from missing.values()


def _found_in_pages(owner: str, missing: dict[str, Wanted], asking: Asking) -> Iterator[Wanted]:
    """Those of ``missing`` that the owner's listing has; they are taken out of it."""
    most = max(PAGE_SIZE, _PASSED_OVER * len(missing))
    try:
        for count, listed in enumerate(list_repositories({"author": owner}, asking.access), 1):
            if listed.id in missing:
                yield replace(missing.pop(listed.id), listed=listed)
            if not missing or count >= most:
                return
    except FilterShiftError as error:
        logger.warning("%s: its listing failed (%s): its repositories are asked one by one", owner, one_line(error))


def or_problem(work: Callable[[], Result], where: str) -> Result | Problem:
    """``work()``, or the problem that its error stands for: what fails of one repository stops no other."""
    try:
        return work()
    except UnextractableError as error:
        return Problem(error.reason, str(error))
    except FilterShiftError as error:
        return Problem(type(error).__name__, str(error), isinstance(error, RetryableError))
    except Exception as error:
        logger.exception("unexpected error while listing %s", where)
        return Problem(type(error).__name__, f"{where}: unexpected {type(error).__name__}: {one_line(error)}", True)


def find_repository(repo: str, revision: str | None, listed: Listed | None, asking: Asking) -> Repository:
    """What the Hub says of a repository, from the catalogue where it is there.

    A gated repository is refused here without a token only; with one, the first file that is read says more.

    Raises:
        UnextractableError: it is gated for us, private, disabled or not there.
        RetryableError: the Hub failed, or answered nonsense.
        PermanentError: the Hub refuses the request.
    """
    where = f"{repo}@{revision}" if revision else repo
    commit = revision if revision is not None and _COMMIT.fullmatch(revision) else None
    if listed is not None:
        commit = listed.revision
        if listed.is_disabled:
            raise UnextractableError(SkipReason.NOT_FOUND, f"{where}: disabled by its author")
        _check_gate(listed.is_gated, where)
    known = asking.catalogue.get(repo, commit) if commit is not None else None
    return known or _fetch(repo, revision, where, asking)


def _fetch(repo: str, revision: str | None, where: str, asking: Asking) -> Repository:
    path = f"{constants.ENDPOINT}/api/models/{quote(repo, safe='/')}"
    url = path if revision is None else f"{path}/revision/{quote(revision, safe='')}"
    try:
        answer = get_json(url, {"blobs": True}, asking.access)
        gated, repository = is_gated(answer), repository_of(answer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RetryableError(
            f"{where}: {constants.ENDPOINT} does not answer as the Hub does ({one_line(error)})"
        ) from error
    _check_gate(gated, where)
    known = asking.catalogue.get(repository.id, repository.revision)  # with what its index files name
    if known is None:
        asking.catalogue.put(repository)
    return known or repository


def _check_gate(gated: bool, where: str) -> None:
    if gated and get_token() is None:
        raise UnextractableError(SkipReason.GATED, f"{where}: gated: ask for access on its page and set HF_TOKEN")


def stream_repositories(
    wanted: Iterable[Wanted],
    references_of: Callable[[Wanted], list[ModelReference]],
    threads: int,
    asking: Asking,
) -> Iterator[Listing]:
    """The references of repositories in parts: every name once, every file of a commit once.

    Raises:
        SourceError: ``threads`` is not positive, the Hub is out of reach or fails on ``MOST_FAILURES`` repositories in
            a row, or as ``wanted``.
    """
    if threads < 1:
        raise SourceError(f"source.threads must be at least 1, found {threads}")
    require_hub()
    names, contents = UniqueNames(), OncePerContent()
    failures = 0
    try:
        with closing(in_parts(references_of, wanted, threads)) as parts:
            for part in parts:
                # By name, so that of equal weights in a small listing the same repository comes first every time.
                every = sorted((each for references in part for each in references), key=lambda each: each.name)
                yield Listing([names.named(each) for each in every if contents.is_new(each)])
                for problem in (references[0].problem for references in part if references):
                    failures = failures + 1 if problem is not None and problem.retryable else 0
                    if failures >= MOST_FAILURES and problem is not None:
                        raise SourceError(
                            f"the Hub failed on {failures} repositories in a row, the last: {problem.message}"
                        )
    finally:
        asking.catalogue.flush()


class OncePerContent:
    """Passes the same file of the same commit once, under the first name; the others are reported."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str | None, str], str] = {}

    def is_new(self, reference: ModelReference) -> bool:
        """Whether no reference before was of this very file."""
        first = self._first.setdefault((reference.root, reference.revision, reference.entry), reference.name)
        if not reference.files or first == reference.name:
            return True
        logger.info("%s has the same weights as %s: listed once", reference.name, first)
        return False
