"""Hub repositories → references: commit hash, files, sizes and digests from the API, never the files themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from huggingface_hub import constants

from distributed.errors import FilterShiftError, SkipReason, SourceError, UnextractableError
from distributed.external_data import locations_in, path_of_location
from distributed.hub.client import check_access, get_json
from distributed.hub.files import HubFile
from distributed.hub.refusals import one_line
from distributed.references import FileReference, ModelMetadata, ModelReference
from distributed.sources.files import may_be_external_data, suffix_of
from distributed.sources.folders import MAX_TEXT_BYTES
from distributed.sources.metadata import Facts, builder_of, facts_of_card, facts_of_config, parse_config
from distributed.sources.naming import some
from distributed.sources.shards import WeightFiles

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository at one commit, as the Hub's API tells it."""

    id: str
    revision: str
    files: dict[str, FileReference]
    card: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def read_text(self, path: str) -> str:
        """The text of a small file (an index, a config).

        Raises:
            FilterShiftError: it cannot be fetched, or is larger than any such file.
        """
        file = self.files[path]
        if file.size > MAX_TEXT_BYTES:
            raise UnextractableError(SkipReason.UNREADABLE, f"{self.id}/{path}: {file.size} bytes are no small text")
        # Only ranges are read: nothing is written to a scratch folder.
        return self._read(file).decode("utf-8", "replace")

    def _read(self, file: FileReference) -> bytes:
        whole = [(0, file.size)]
        return bytes(HubFile(self.id, self.revision, file.path, file.size, file.sha256, Path()).read_ranges(whole)[0])

    def with_external_data(self, model: WeightFiles) -> WeightFiles:
        """An ONNX model with the files that its graph names; the graph is fetched where no name tells, if it is small.

        With its weights elsewhere a graph is small; and without a file beside it that may hold them nothing is fetched.

        Raises:
            FilterShiftError: it cannot be fetched.
        """
        graph = self.files[model.entry]
        folder = model.entry.rpartition("/")[0]
        beside = (path for path in self.files if path.startswith(f"{folder}/" if folder else ""))
        is_asked = suffix_of(model.entry) == ".onnx" and len(model.files) == 1 and graph.size <= MAX_TEXT_BYTES
        if not is_asked or not any(may_be_external_data(path) for path in beside if path != model.entry):
            return model
        paths = [path_of_location(folder, location) for location in locations_in(bytes(self._read(graph)))]
        return replace(model, files=(model.entry, *sorted({p for p in paths if p in self.files and p != model.entry})))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a repository cannot be had: reason and message, as in ``ModelReference.problem``."""

    reason: SkipReason
    message: str


def fetch_repository(repo: str, revision: str | None) -> Repository | Refusal:
    """What the Hub says of a repository; a refusal where it is gated for us, private or not there.

    Raises:
        SourceError: the Hub failed, or answered nonsense, in spite of the client's retries.
    """
    where = f"{repo}@{revision}" if revision else repo
    path = f"{constants.ENDPOINT}/api/models/{quote(repo, safe='/')}"
    url = path if revision is None else f"{path}/revision/{quote(revision, safe='')}"
    try:
        answer = get_json(url, {"blobs": True})
        if answer.get("gated") and answer.get("gated") != "false":
            # Gated repositories are listed for everyone; whether we may read this one the Hub says separately.
            check_access(f"{path}/auth-check")
        return _parse(answer)
    except UnextractableError as error:
        return Refusal(error.reason, str(error))
    except FilterShiftError as error:
        raise SourceError(f"{where}: listing failed ({one_line(error)}): run it again later") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{where}: {constants.ENDPOINT} does not answer as the Hub does ({one_line(error)})"
        ) from error


def _parse(answer: dict[str, Any]) -> Repository:
    files = {}
    for sibling in answer["siblings"] or ():
        lfs = sibling.get("lfs") or {}
        size = lfs.get("size", sibling.get("size"))
        path = str(sibling["rfilename"])
        files[path] = FileReference(path, int(size), lfs.get("sha256"))
    card = answer.get("cardData")
    card = dict(card) if isinstance(card, dict) else {}
    for key in ("pipeline_tag", "library_name"):  # also what the Hub concludes where the card is silent
        if answer.get(key) and not card.get(key):
            card[key] = answer[key]
    if isinstance(answer.get("tags"), list):
        card["tags"] = answer["tags"]
    config = answer.get("config")
    return Repository(str(answer["id"]), str(answer["sha"]), files, card, config if isinstance(config, dict) else {})


@dataclass(frozen=True, slots=True)
class RepositoryDescription:
    """Facts of a repository's card and config, and how to build its architecture."""

    facts: tuple[Facts, ...]
    builder: str | None


def describe(repository: Repository) -> RepositoryDescription:
    """What card and ``config.json`` say; the latter is fetched only where the API's answer lacks it."""
    card = facts_of_card(repository.card)
    config: Any = repository.config
    text: str | None = None
    # The API repeats a transformers config's class names, but not what timm's and the samples' builders need.
    if not (config.get("architectures") and config.get("model_type")) and "config.json" in repository.files:
        try:
            text = repository.read_text("config.json")
        except FilterShiftError as error:
            logger.warning("%s; nothing is known from it", error)
        else:
            config = parse_config(text, f"{repository.id}/config.json") or {}
    return RepositoryDescription((card, facts_of_config(config)), builder_of(config, text or ""))


def reference_of(
    source: str, name: str, repository: Repository, model: WeightFiles, description: tuple[ModelMetadata, str | None]
) -> ModelReference:
    """The reference of one model of a repository; ``description`` is its metadata and builder."""
    problem: tuple[str, str] | None = None
    if model.missing:
        problem = (
            SkipReason.UNREADABLE,
            f"{repository.id}/{model.entry}: shards are missing: {some(model.missing)}",
        )
    return ModelReference(
        source=source,
        name=name,
        root=repository.id,
        revision=repository.revision,
        files=tuple(repository.files[path] for path in model.files),
        metadata=description[0],
        builder=description[1],
        problem=problem,
        left_out=model.left_out,
    )


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """``work`` of every item, in order, ``threads`` at a time; the first error ends it without starting the rest.

    Raises:
        SourceError: ``threads`` is not positive.
    """
    if threads < 1:
        raise SourceError(f"source.threads must be at least 1, found {threads}")
    with ThreadPoolExecutor(threads, "hub-listing") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def one_by_content(references: Sequence[ModelReference]) -> list[ModelReference]:
    """The same file of the same commit once, under the first name; the others are reported."""
    first: dict[tuple[str, str | None, str], ModelReference] = {}
    kept = []
    for each in sorted(references, key=lambda each: each.name):
        key = (each.root, each.revision, each.entry)
        if each.files and key in first:
            logger.info("%s has the same weights as %s: listed once", each.name, first[key].name)
            continue
        first[key] = each
        kept.append(each)
    return kept
