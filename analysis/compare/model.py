"""One model that need not be in any store: found, opened and measured by the same code as an extraction."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from analysis.arrays.basis import Basis
from analysis.arrays.kernels import SIZE, kernels_for
from analysis.arrays.sketch import Sketch
from analysis.selection.conditions import flat_view
from analysis.wording import one_line
from distributed.bytes import LocalFile, open_sources
from distributed.errors import FilterShiftError, UserError
from distributed.extraction import FilterStream, LayerLayout, plan_layers
from distributed.formats import open_checkpoint
from distributed.formats.base import ByteSource, Checkpoint
from distributed.records import LAYERS_SCHEMA, WEIGHT_COLUMNS
from distributed.references import ModelReference, content_digest, model_id_of
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import HubSettings, LocalSettings, SampleSettings, SourceSettings, TimmSettings

#: Names of candidates in a message.
_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredModel:
    """One model on a given basis.

    Attributes:
        reference: where it came from.
        model_id: what extraction would call it, unless several files of another digest stand behind it.
        sha256: digest of its content; None where only ranges were read.
        flat: one row per 3x3 layer, as ``analysis.selection.conditions.flat_view`` gives it, of the columns extraction knows.
        sketch: histograms of these layers; coefficients outside the basis's range are counted apart.
        notes: what was left aside and what fell back while reading.
    """

    reference: ModelReference
    model_id: str
    sha256: str | None
    flat: pa.Table
    sketch: Sketch
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return self.reference.name


def source_of(model: str) -> SourceSettings:
    """The source that a ``model=…`` setting names: ``timm:NAME``, ``hub:ID``, ``sample:NAME``, else a path."""
    kind, colon, name = model.partition(":")
    if not model.strip() or (colon and kind in ("timm", "hub", "sample") and not name):
        raise UserError(f"model={model}: give a checkpoint file or folder, timm:NAME, hub:ID or sample:NAME")
    if colon and kind == "timm":
        return TimmSettings(models=(name,))
    if colon and kind == "hub":
        return HubSettings(repos=(name,))
    if colon and kind == "sample":
        return SampleSettings(models=(name,))
    return LocalSettings(path=model)


def find_model(model: str) -> ModelReference:
    """The one model that the setting names.

    Raises:
        UserError: it names none, several, or one that its source already knows to be out of reach.
    """
    try:
        references = list_references(source_of(model))
    except FilterShiftError as error:
        raise UserError(f"model={model}: {str(error).replace('check source.path', 'check the path')}") from error
    if len(references) > 1:
        names = ", ".join(one_line(_how_to_name(each)) for each in references[:_NAMED])
        more = " …" if len(references) > _NAMED else ""
        raise UserError(f"model={model} names {len(references)} models; choose one: {names}{more}")
    reference = references[0]
    if reference.problem is not None:
        raise UserError(f"model={model}: {reference.problem[1]} ({reference.problem[0]})")
    return reference


def _how_to_name(reference: ModelReference) -> str:
    if reference.source == "local":
        return str(Path(reference.root, reference.entry))
    return f"{reference.source}:{reference.name}"


class OpenedModel:
    """A checkpoint whose layers are known and whose weights are not read yet."""

    def __init__(
        self, reference: ModelReference, sources: Sequence[ByteSource], checkpoint: Checkpoint, layout: LayerLayout
    ) -> None:
        self.reference = reference
        self._sources, self._checkpoint, self._layout = sources, checkpoint, layout

    def measure(self, basis: Basis) -> MeasuredModel:
        """Read every layer once: its statistics, and its histograms on ``basis``.

        Raises:
            UserError: a weight cannot be read or is not finite, or nothing learned is left.
        """
        content = self._content()
        reference = self.reference
        model_id = reference.pinned_model_id or model_id_of(reference.source, content or reference.root, None, "")
        stream = FilterStream(self._checkpoint, self._layout, model_id, torch.device("cpu"))
        kernels = kernels_for("cpu")
        counts: dict[int, np.ndarray] = {}
        with _one_line_errors(reference):
            for batch in stream.batches():  # rows of one layer are contiguous, a batch may hold several
                columns = [batch.column(name).to_numpy() for name in WEIGHT_COLUMNS]
                ids = batch.column("layer_id").to_numpy()
                first = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
                starts = np.append(first, ids.size).astype(np.int64)
                counted = kernels.histograms(columns, starts, basis.projection, basis.binning)
                for layer, run in zip(ids[first].tolist(), counted.counts, strict=True):
                    found = run.astype(np.int64)
                    counts[layer] = counts[layer] + found if layer in counts else found
        layers = pa.Table.from_pylist(stream.layer_rows, schema=LAYERS_SCHEMA)
        model = pa.table({"model_id": [model_id], "name": [reference.name], "num_filters": [stream.num_filters]})
        notes = (*self._layout.notes, *stream.notes)
        return MeasuredModel(reference, model_id, content, flat_view(model, layers), _sketch(counts, basis), notes)

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


def _sketch(counts: dict[int, np.ndarray], basis: Basis) -> Sketch:
    ids = np.array(sorted(counts), np.int64)
    slots = np.stack([counts[layer] for layer in ids.tolist()]).reshape(ids.size, SIZE, basis.bins + 2)
    return Sketch(ids, np.ascontiguousarray(slots[:, :, 1:-1]), slots[:, :, 0].copy(), slots[:, :, -1].copy(), basis)


@contextmanager
def opened_model(model: str, settings: ExtractSettings) -> Iterator[OpenedModel]:
    """The model that ``model=…`` names, opened, its 3x3 layers found; whole files are fetched to a temporary folder.

    Raises:
        UserError: see ``find_model``; or it cannot be read, or has no learned 3x3 convolution.
    """
    reference = find_model(model)
    with tempfile.TemporaryDirectory(prefix="filter-shift-") as scratch:
        with _one_line_errors(reference):
            sources = open_sources(reference, Path(scratch))
            opened = open_checkpoint(sources, prefer_ema=settings.prefer_ema)
        with opened as checkpoint:
            with _one_line_errors(reference):
                layout = plan_layers(reference, checkpoint, settings)
            yield OpenedModel(reference, sources, checkpoint, layout)


@contextmanager
def _one_line_errors(reference: ModelReference) -> Iterator[None]:
    """What is a skip or a retry for an extraction of thousands ends a comparison of one."""
    try:
        yield
    except UserError:
        raise
    except FilterShiftError as error:
        raise UserError(f"model {one_line(reference.name)} cannot be compared: {error}") from error
