"""timm's pretrained models, resolved to the Hub repositories that hold their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distributed.errors import FilterShiftError, SkipReason, SourceError
from distributed.hub.client import require_hub
from distributed.references import ModelMetadata, ModelReference
from distributed.sources.files import find_models, preference
from distributed.sources.metadata import facts_of_card, facts_of_timm, metadata_of
from distributed.sources.naming import in_order, suggestion
from distributed.sources.repositories import (
    Refusal,
    Repository,
    fetch_repository,
    in_parallel,
    one_by_content,
    reference_of,
)
from distributed.sources.settings import TimmSettings
from distributed.sources.shards import WeightFiles

#: Files that timm itself would load, by its own order, where a tag names no other.
_DEFAULT_FILES = ("model.safetensors", "pytorch_model.bin")


def list_timm(settings: TimmSettings) -> list[ModelReference]:
    """References to the pretrained tags that match, pinned to commit hashes.

    Tags without a Hub repository, and repositories that cannot be read, are listed with their problem.

    Raises:
        SourceError: a name or pattern matches nothing, or the Hub is out of reach.
    """
    names = matching_names(settings.models, settings.exclude)
    require_hub()
    return in_order(one_by_content(in_parallel(_reference, names, settings.threads)))


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


def _reference(name: str) -> ModelReference:
    from timm.models import get_pretrained_cfg

    architecture, _, tag = name.partition(".")
    pretrained = get_pretrained_cfg(name)
    assert pretrained is not None, name
    config = pretrained.to_dict()
    facts = facts_of_timm(architecture, tag, config, "timm pretrained_cfg")
    facts["library"] = ("timm", "timm")
    hub_id = config.get("hf_hub_id")
    if not hub_id:
        place = config.get("url") or "nowhere"
        problem = (SkipReason.NOT_FOUND, f"{name}: its weights are not on the Hub but at {place}")
        return _problem(name, name, None, metadata_of([facts]), problem)
    repo, _, revision = str(hub_id).partition("@")
    repository = fetch_repository(repo, revision or None)
    if isinstance(repository, Refusal):
        return _problem(name, repo, revision or None, metadata_of([facts]), (repository.reason, repository.message))
    metadata = metadata_of([facts, facts_of_card(repository.card)])
    try:
        model = _choose(repository, config)
    except FilterShiftError as error:
        return _problem(name, repo, repository.revision, metadata, (SkipReason.UNREADABLE, str(error)))
    if model is None:
        message = f"{repo}: no weight file that timm would load ({config.get('hf_hub_filename') or _DEFAULT_FILES[0]})"
        return _problem(name, repo, repository.revision, metadata, (SkipReason.UNSUPPORTED_FORMAT, message))
    return reference_of("timm", name, repository, model, (metadata, f"timm:{architecture}"))


def _choose(repository: Repository, config: Mapping[str, Any]) -> WeightFiles | None:
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
    models = find_models(repository.files, repository.read_text)
    return min(models, key=lambda each: preference(each.entry), default=None)


def _problem(
    name: str, root: str, revision: str | None, metadata: ModelMetadata, problem: tuple[str, str]
) -> ModelReference:
    return ModelReference("timm", name, root, revision, (), metadata, None, None, problem)
