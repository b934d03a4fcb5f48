"""timm's pretrained models, resolved to the Hub repositories that hold their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed.errors import SkipReason, SourceError, UnextractableError
from distributed.hub.catalogue import Asking
from distributed.hub.repository import Repository
from distributed.references import ModelReference, Problem
from distributed.sources.contents import Listing
from distributed.sources.files import find_models, preference
from distributed.sources.metadata import Facts, facts_of_card, facts_of_timm, metadata_of
from distributed.sources.naming import suggestion
from distributed.sources.repositories import (
    Wanted,
    find_repository,
    or_problem,
    stream_repositories,
    with_listings,
)
from distributed.sources.repository_models import Description, SmallFiles, reference_of
from distributed.sources.settings import TimmSettings
from distributed.sources.shards import WeightFiles

#: Files that timm itself would load, by its own order, where a tag names no other.
_DEFAULT_FILES = ("model.safetensors", "pytorch_model.bin")


def stream_timm(settings: TimmSettings, asking: Asking) -> Iterator[Listing]:
    """References to the pretrained tags that match, pinned to commit hashes, in parts.

    Tags without a Hub repository, and repositories that cannot be read, are listed with their problem.

    Raises:
        SourceError: a name or pattern matches nothing, or the Hub is out of reach.
    """
    tags = [tag_named(name) for name in matching_names(settings.models, settings.exclude)]
    by_repo: dict[str, list[Tag]] = {}
    for tag in tags:
        if tag.repo is not None:
            by_repo.setdefault(tag.repo, []).append(tag)
    nowhere = [_problem(tag, None, tag.problem) for tag in tags if tag.problem is not None]
    if nowhere:
        yield Listing(nowhere)

    def references_of(wanted: Wanted) -> list[ModelReference]:
        return [_reference(tag, wanted, asking) for tag in by_repo[wanted.repo]]

    wanted = [Wanted(repo, tuple(dict.fromkeys(tag.revision for tag in tags))) for repo, tags in by_repo.items()]
    yield from stream_repositories(with_listings(wanted, asking), references_of, settings.threads, asking)


def matching_names(patterns: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Names (with tags) of ``timm.list_pretrained`` that match any of ``patterns`` and none of ``exclude``, sorted.

    Raises:
        SourceError: a pattern matches nothing, or nothing is left; names near it are suggested.
    """
    import timm

    chosen: set[str] = set()
    for pattern in patterns:
        found = timm.list_pretrained(pattern) if pattern else []
        if not found:
            raise SourceError(
                f"timm {timm.__version__} has no pretrained model {pattern!r}"
                f"{suggestion(pattern, timm.list_pretrained())}"
            )
        chosen.update(found)
    chosen.difference_update(*(timm.list_pretrained(pattern) for pattern in exclude if pattern))
    if not chosen:
        raise SourceError("no timm model is left: correct source.models and source.exclude")
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class Tag:
    """A pretrained tag as timm's registry has it; ``problem`` where its weights are in no repository."""

    name: str
    config: Mapping[str, Any]
    facts: Facts
    repo: str | None = None
    revision: str | None = None
    problem: Problem | None = None


def tag_named(name: str) -> Tag:
    """What timm's registry says of one of its pretrained tags."""
    from timm.models import get_pretrained_cfg

    architecture, _, tag = name.partition(".")
    pretrained = get_pretrained_cfg(name)
    assert pretrained is not None, name
    config = pretrained.to_dict()
    facts = facts_of_timm(architecture, tag, config, "timm pretrained_cfg")
    facts["library"] = ("timm", "timm")
    hub_id = config.get("hf_hub_id")
    if not hub_id:
        message = f"{name}: its weights are not on the Hub but at {config.get('url') or 'nowhere'}"
        return Tag(name, config, facts, problem=Problem(SkipReason.NOT_FOUND, message))
    repo, _, revision = str(hub_id).partition("@")
    return Tag(name, config, facts, repo, revision or None)


def _reference(tag: Tag, wanted: Wanted, asking: Asking) -> ModelReference:
    listed = wanted.listed if tag.revision is None else None
    repository = or_problem(lambda: find_repository(wanted.repo, tag.revision, listed, asking), tag.name)
    if isinstance(repository, Problem):
        return _problem(tag, tag.revision, repository)
    reference = or_problem(lambda: _reference_in(tag, repository, asking), tag.name)
    return _problem(tag, repository.revision, reference) if isinstance(reference, Problem) else reference


def _reference_in(tag: Tag, repository: Repository, asking: Asking) -> ModelReference:
    model = _choose(repository, tag.config, asking)
    if model is None:
        looked_for = tag.config.get("hf_hub_filename") or _DEFAULT_FILES[0]
        message = f"{repository.id}: no weight file that timm would load ({looked_for})"
        raise UnextractableError(SkipReason.UNSUPPORTED_FORMAT, message)
    metadata = metadata_of([tag.facts, facts_of_card(repository.card)])
    description = Description(metadata, f"timm:{tag.name.partition('.')[0]}")
    return reference_of("timm", tag.name, repository, model, description)


def _choose(repository: Repository, config: Mapping[str, Any], asking: Asking) -> WeightFiles | None:
    """The file that timm would load: the one its configuration names or its safetensors twin, else the preferred."""
    named = config.get("hf_hub_filename")
    if named:
        twin = str(named).replace("open_clip_pytorch_model", "open_clip_model").rpartition(".")[0] + ".safetensors"
        wanted: tuple[str, ...] = (twin, str(named))
    else:
        wanted = _DEFAULT_FILES
    for path in wanted:
        if path in repository.files:
            return WeightFiles(path, (path,))
    if named:
        return None
    models = find_models(repository.files, SmallFiles(repository, asking).read_index)
    return min(models, key=lambda each: preference(each.entry), default=None)


def _problem(tag: Tag, revision: str | None, problem: Problem) -> ModelReference:
    return ModelReference(
        "timm", tag.name, tag.repo or tag.name, revision, (), metadata_of([tag.facts]), problem=problem
    )
