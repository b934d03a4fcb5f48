"""One model of a published corpus into the store: read its rows, measure each layer, write. No Ray here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distributed.errors import SkipReason, UnextractableError
from distributed.formulas import sparse_below
from distributed.layer_stream import LayerStream, into_store, model_row
from distributed.outcomes import Outcome, OutcomeKind
from distributed.published.layout import PIECE_ROWS, PublishedFile
from distributed.published.rows import PublishedLayer, PublishedModel
from distributed.references import ModelReference, model_id_of
from distributed.settings import NonFinite
from distributed.statistics import LayerStatistics, layer_statistics
from distributed.statistics.fingerprint import Fingerprint
from distributed.statistics.passes import assembled, non_finite, pieces
from distributed.store import ModelRow, Store
from distributed.values import as_tensor

if TYPE_CHECKING:
    import torch

#: Filters of a layer that are held at once, 151 MB. Single convolutions are nearly always smaller and are held whole,
#: as from a checkpoint; all convolutions of one depth together may be more: they are then read once for each pass.
HELD_ROWS = 1 << 22

#: What the store says of the file's format.
FORMAT = "hdf5"


def import_model(
    reference: ModelReference, model: PublishedModel, store: Store, unfinished: NonFinite, device: torch.device | str
) -> Outcome:
    """Import one model, or find that the store has it already.

    Args:
        reference: where it is.
        model: its rows.
        store: where to write.
        unfinished: what becomes of layers that are not finite.
        device: where statistics are computed.

    Raises:
        UnextractableError: the file is damaged, or weights are not finite.
        RetryableError: reading or writing failed for a reason that may pass.
    """
    with PublishedFile(Path(reference.root, reference.entry)) as file:
        model_id = published_id(file, reference, model)
        if store.has_model(model_id):
            return Outcome(reference, OutcomeKind.ALREADY_THERE, model_id=model_id, bytes_read=file.bytes_read)
        stream = PublishedStream(file, model, model_id, device, unfinished)

        def row() -> ModelRow:
            return _model_row(reference, model, model_id, file, stream)

        return into_store(reference, model_id, store, stream, row, lambda: file.bytes_read)


def published_id(file: PublishedFile, reference: ModelReference, model: PublishedModel) -> str:
    """The model's id in the store: the same for the same model in any copy of the file, in float64 or float32.

    A function of its ``model_id`` there, of its layers' depths and sizes, and of the first, middle and last filter of
    each: to read all of them for it would take as long again as the import.
    """
    digest = hashlib.sha256()
    sample = np.empty((1, 9), np.float32)
    for layer in model.layers:
        digest.update(f"{layer.depth} {layer.depth_norm!r} {layer.filters}\n".encode())
        for row in (layer.start, (layer.start + layer.stop) // 2, layer.stop - 1):
            file.read(row, row + 1, sample)
            digest.update(sample.astype("<f4").tobytes())
    return model_id_of(reference.source, digest.hexdigest(), None, model.original_id, reference.variant)


class PublishedStream(LayerStream):
    """Reads layer after layer of a published model, and measures each."""

    def __init__(
        self,
        file: PublishedFile,
        model: PublishedModel,
        model_id: str,
        device: torch.device | str,
        unfinished: NonFinite,
    ) -> None:
        super().__init__(model_id, unfinished)
        self._file, self._model, self._device = file, model, device
        # One buffer for all layers: memory that is asked for anew costs as much as reading.
        largest = max((layer.filters for layer in model.layers if _is_held(layer)), default=0)
        self._buffer = np.empty((max(largest, PIECE_ROWS), 9), np.float32)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See ``LayerStream.batches``."""
        for layer in self._model.layers:
            statistics = self._measured(layer.name, partial(self._statistics, layer))
            if statistics is None:
                continue
            layer_id = self._begin(self._facts(layer), statistics)
            for piece in self._pieces(layer, again=False):
                yield from self._filters(layer_id, piece)
        yield from self._rows.rest()
        if not self.layer_rows:
            raise UnextractableError(SkipReason.NO_3X3_CONVOLUTION, f"no layer is left: {'; '.join(self.notes[:12])}")

    def _statistics(self, layer: PublishedLayer) -> LayerStatistics:
        if _is_held(layer):
            weight = self._buffer[: layer.filters]
            self._file.read(layer.start, layer.stop, weight)
            shaped = weight.reshape(*(layer.channels or (1, layer.filters)), 3, 3)
            return layer_statistics(as_tensor(shaped).to(self._device), name=layer.name)
        from distributed.statistics.compiled_sums import compiled_sums, largest_magnitude  # imports numba

        max_abs = largest_magnitude(self._pieces(layer, again=True))
        if not np.isfinite(max_abs):
            raise self._unfinished(layer)
        fingerprint = Fingerprint(compiled=True)
        sums = compiled_sums(fingerprint.seeing(self._pieces(layer, again=True)), sparse_below(max_abs))
        # One output channel has no orthogonality, several whose channels are not known neither.
        return assembled(sums, max_abs, fingerprint, None)

    def _unfinished(self, layer: PublishedLayer) -> UnextractableError:
        """The error of the first piece that is not finite."""
        bad = next(piece for piece in self._pieces(layer, again=True, rows=PIECE_ROWS) if not np.isfinite(piece).all())
        return non_finite(bad.reshape(1, -1, 3, 3), layer.name)

    def _pieces(self, layer: PublishedLayer, *, again: bool, rows: int = PIECE_ROWS) -> Iterator[NDArray[np.float32]]:
        """The filters (k, 9) of a layer: what is held, or read now; ``again``: cut for the loops."""
        if _is_held(layer):
            yield self._buffer[: layer.filters]
            return
        for start in range(layer.start, layer.stop, rows):
            piece = self._buffer[: min(rows, layer.stop - start)]
            self._file.read(start, start + len(piece), piece)
            if again:
                yield from pieces(piece.reshape(1, -1, 3, 3))
            else:
                yield piece

    def _facts(self, layer: PublishedLayer) -> dict[str, Any]:
        out_channels, in_channels = layer.channels or (None, None)
        return {
            "name": layer.name,
            "conv_depth": layer.depth,
            "conv_depth_norm": layer.depth_norm,
            "depth_method": layer.depth_method,
            "out_channels": out_channels,
            "in_channels": in_channels,
            "groups": layer.groups,
            "is_depthwise": layer.is_depthwise,
            "is_transposed": layer.is_transposed,
            "dtype": layer.dtype or self._file.dtype,
        }


def _is_held(layer: PublishedLayer) -> bool:
    return layer.filters <= HELD_ROWS or layer.channels is not None


def _model_row(
    reference: ModelReference, model: PublishedModel, model_id: str, file: PublishedFile, stream: PublishedStream
) -> ModelRow:
    return model_row(
        reference,
        model_id,
        stream,
        format=FORMAT,
        sha256=None,
        num_parameters=model.num_parameters,
        total_filters=model.total_filters,
        share_3x3=model.share_3x3,
        kernel_shapes=model.kernel_shapes or {"3x3": stream.num_filters},
        op_counts=None if model.op_counts is None else dict(model.op_counts),
        num_conv_layers=model.num_conv_layers,
        notes=(*model.notes, *stream.notes),
        bytes_read=file.bytes_read,
    )
