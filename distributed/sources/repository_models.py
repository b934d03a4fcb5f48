"""A repository of the Hub → references: its small files, what is known of its models, never the weights themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distributed.errors import SkipReason, UnextractableError
from distributed.external_data import locations_in, path_of_location
from distributed.hub.catalogue import Asking
from distributed.hub.files import HubFile
from distributed.hub.repository import Repository
from distributed.references import FileReference, ModelMetadata, ModelReference, Problem
from distributed.sources.components import config_path
from distributed.sources.files import may_be_external_data, suffix_of
from distributed.sources.folders import MAX_TEXT_BYTES
from distributed.sources.metadata import builder_of, facts_of_card, facts_of_config, metadata_of
from distributed.sources.naming import some
from distributed.sources.shards import WeightFiles, index_of, shards_named

logger = logging.getLogger(__name__)


class SmallFiles:
    """The files of a repository that tell which files belong together, each fetched once and kept in the catalogue."""

    def __init__(self, repository: Repository, asking: Asking) -> None:
        self._repository, self._asking = repository, asking

    def read_index(self, path: str) -> str:
        """An index of the shards that the file at ``path`` names.

        Raises:
            FilterShiftError: it cannot be fetched, or is larger than any index.
        """
        if path not in self._repository.named:
            self._keep(path, shards_named(self._read(path).decode("utf-8", "replace")))
        return index_of(self._repository.named[path])

    def with_external_data(self, model: WeightFiles) -> WeightFiles:
        """An ONNX model with the files that its graph names; the graph is fetched where no name tells, if it is small.

        With its weights elsewhere a graph is small; and without a file beside it that may hold them nothing is fetched.

        Raises:
            FilterShiftError: it cannot be fetched.
        """
        files, entry = self._repository.files, model.entry
        folder = entry.rpartition("/")[0]
        beside = (path for path in files if path.startswith(f"{folder}/" if folder else ""))
        is_asked = suffix_of(entry) == ".onnx" and len(model.files) == 1 and files[entry].size <= MAX_TEXT_BYTES
        if not is_asked or not any(may_be_external_data(path) for path in beside if path != entry):
            return model
        if entry not in self._repository.named:
            found = {path_of_location(folder, location) for location in locations_in(self._read(entry))}
            self._keep(entry, sorted(path for path in files if path in found and path != entry))
        return replace(model, files=(entry, *self._repository.named[entry]))

    def _keep(self, path: str, names: Sequence[str]) -> None:
        named = {**self._repository.named, path: tuple(names)}
        self._repository = replace(self._repository, named=named)
        self._asking.catalogue.put(self._repository)

    def _read(self, path: str) -> bytes:
        repository, file = self._repository, self._repository.files[path]
        if file.size > MAX_TEXT_BYTES:
            raise UnextractableError(
                SkipReason.UNREADABLE, f"{repository.id}/{path}: {file.size} bytes are no small text"
            )
        # Only ranges are read: nothing is written to a scratch folder.
        source = HubFile(repository.id, repository.revision, path, file.size, file.sha256, Path(), self._asking.access)
        return bytes(source.read_ranges([(0, file.size)])[0])


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a model: labels, how to build its architecture, and the description that is still unread."""

    metadata: ModelMetadata
    builder: str | None = None
    config: FileReference | None = None


def describe(repository: Repository, component: str, entry: str) -> Description:
    """What card and API say of a component; its ``config.json`` is left unread where they do not say it all."""
    card = facts_of_card(repository.card)
    path = config_path(component, entry, repository.files)
    # The API repeats the root's class names, as transformers has them, but not what timm's and the samples' builders
    # need.
    config: Mapping[str, object] = repository.config if not component and path in (None, "config.json") else {}
    if path is not None and not (config.get("architectures") and config.get("model_type")):
        if repository.files[path].size <= MAX_TEXT_BYTES:
            return Description(metadata_of([card]), None, repository.files[path])
        logger.warning("%s/%s: too large for a description; nothing is known from it", repository.id, path)
    return Description(metadata_of([card, facts_of_config(config)]), builder_of(config, ""))


def reference_of(
    source: str, name: str, repository: Repository, model: WeightFiles, description: Description
) -> ModelReference:
    """The reference of one model of a repository."""
    problem: Problem | None = None
    if model.missing:
        problem = Problem(
            SkipReason.UNREADABLE, f"{repository.id}/{model.entry}: shards are missing: {some(model.missing)}"
        )
    return ModelReference(
        source=source,
        name=name,
        root=repository.id,
        revision=repository.revision,
        files=tuple(repository.files[path] for path in model.files),
        metadata=description.metadata,
        builder=description.builder,
        problem=problem,
        left_out=model.left_out,
        config=description.config,
    )
