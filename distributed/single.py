"""One model that need not be in any store: found and opened by the same code as an extraction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from distributed.byte_sources import open_sources
from distributed.errors import FilterShiftError, UserError
from distributed.extraction import FilterStream, LayerLayout, described, plan_layers
from distributed.formats import open_checkpoint
from distributed.formats.base import ByteSource, Checkpoint
from distributed.local_files import LocalFile
from distributed.records import LAYERS_SCHEMA
from distributed.references import ModelReference, content_digest, model_id_of
from distributed.scratch import scratch
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import HubSettings, LocalSettings, SampleSettings, SourceSettings, TimmSettings

__all__ = ["ModelReference", "OpenedModel", "ReadModel", "find_model", "open_model"]

#: Names of candidates in a message.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class ReadModel:
    """What extraction would write of a model.

    Attributes:
        model_id: what extraction would call it, unless several files of another digest stand behind it.
        sha256: digest of its content; None where only ranges were read.
        layers: rows of the table ``layers``.
        notes: what was left aside and what fell back while reading.
    """

    model_id: str
    sha256: str | None
    layers: pa.Table
    notes: tuple[str, ...]


class OpenedModel:
    """A checkpoint whose layers are known and whose weights are not read yet."""

    def __init__(
        self, reference: ModelReference, sources: Sequence[ByteSource], checkpoint: Checkpoint, layout: LayerLayout
    ) -> None:
        self.reference = reference
        self._sources, self._checkpoint, self._layout = sources, checkpoint, layout

    def read(self, take: Callable[[pa.RecordBatch, Mapping[int, float]], None]) -> ReadModel:
        """Read and measure every layer once; ``take`` gets its filters, rows of one layer together.

        Beside them it gets the largest |w| of each layer so far, by ``layer_id``.

        Raises:
            UserError: a weight cannot be read or is not finite, or nothing learned is left.
        """
        content, reference = self._content(), self.reference
        model_id = reference.pinned_model_id or model_id_of(
            reference.source, content or reference.root, None, "", reference.variant
        )
        stream = FilterStream(self._checkpoint, self._layout, model_id, device=None)
        with _as_user_errors(reference):
            for batch in stream.batches():
                take(batch, stream.largest)
        layers = pa.Table.from_pylist(stream.layer_rows, schema=LAYERS_SCHEMA)
        return ReadModel(model_id, content, layers, (*self._layout.notes, *stream.notes))

    def _content(self) -> str | None:
        digests = [source.sha256() if isinstance(source, LocalFile) else None for source in self._sources]
        known = [digest for digest in digests if digest is not None]
        if known and len(known) == len(digests):
            tied = self.reference.tied_sha256
            if tied is not None and known[0] != tied:
                raise UserError(
                    f"{self.reference.entry}: SHA-256 is {known[0]}, the manifest says {tied}: "
                    "fetch the file again or correct the manifest"
                )
            return content_digest(known)
        promised = [file.sha256 for file in self.reference.files]
        return content_digest([d for d in promised if d]) if promised and all(promised) else None


@contextmanager
def open_model(name: str, settings: ExtractSettings) -> Iterator[OpenedModel]:
    """The model of this name (see ``find_model``), opened, its 3x3 layers found.

    Whole files are fetched to a temporary folder.

    Raises:
        UserError: see ``find_model``; or it cannot be read, or has no learned 3x3 convolution.
    """
    reference = replace(find_model(name), variant=settings.variant)
    with scratch() as folder:
        with _as_user_errors(reference):
            reference = described(reference, folder)
            sources = open_sources(reference, folder)
            opened = open_checkpoint(sources, prefer_ema=settings.prefer_ema)
        with opened as checkpoint:
            with _as_user_errors(reference):
                layout = plan_layers(reference, checkpoint, settings)
            yield OpenedModel(reference, sources, checkpoint, layout)


def find_model(name: str) -> ModelReference:
    """The one model called ``timm:NAME``, ``hub:ID`` (a component: ``hub:ID/unet``), ``sample:NAME``, or at a path.

    Raises:
        UserError: there is none, there are several, or its source already knows that it is out of reach.
    """
    source = _source_of(name)
    try:
        references = list_references(source)
    except FilterShiftError as error:
        raise UserError(f"model={name}: {error}") from error
    if isinstance(source, HubSettings):
        # Of a name that says no component all are meant.
        named = [each for each in references if f"hub:{each.name}" == name]
        references = named or references
        if not named and f"hub:{source.repos[0]}" != name:
            there = ", ".join(_how_to_name(each) for each in references[:_NAMED])
            raise UserError(f"model={name}: no such component of {source.repos[0]}; there is {there}")
    if len(references) > 1:
        names = ", ".join(_how_to_name(each) for each in references[:_NAMED])
        more = " …" if len(references) > _NAMED else ""
        raise UserError(f"model={name} names {len(references)} models; choose one: {names}{more}")
    reference = references[0]
    if reference.problem is not None:
        raise UserError(f"model={name}: {reference.problem.message} ({reference.problem.reason})")
    return reference


def _source_of(name: str) -> SourceSettings:
    kind, colon, inner = name.partition(":")
    if not name.strip() or (colon and kind in ("timm", "hub", "sample") and not inner):
        raise UserError("give a checkpoint file or folder, timm:NAME, hub:ID or sample:NAME")
    if colon and kind == "timm":
        return TimmSettings(models=(inner,))
    if colon and kind == "hub":
        is_component = inner.count("/") > 1 and "@" not in inner  # a revision may have slashes of its own
        return HubSettings(repos=("/".join(inner.split("/")[:2]) if is_component else inner,))
    if colon and kind == "sample":
        return SampleSettings(models=(inner,))
    return LocalSettings(path=name)


def _how_to_name(reference: ModelReference) -> str:
    if reference.source == "local":
        return str(Path(reference.root, reference.entry))
    return f"{reference.source}:{reference.name}"


@contextmanager
def _as_user_errors(reference: ModelReference) -> Iterator[None]:
    """What is a skip or a retry for an extraction of thousands ends a command on one."""
    try:
        yield
    except UserError:
        raise
    except FilterShiftError as error:
        raise UserError(f"model {reference.name} cannot be read: {error}") from error
