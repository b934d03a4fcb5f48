"""One model into the store, layer by layer: what is the same wherever its weights come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distributed import __version__
from distributed.errors import SkipReason, UnextractableError
from distributed.metrics import Stage, stage
from distributed.outcomes import Outcome, OutcomeKind
from distributed.records import LAYERS_SCHEMA
from distributed.references import METADATA_FIELDS, ModelReference, layer_id_of
from distributed.settings import NonFinite
from distributed.statistics import LayerStatistics
from distributed.store import ModelRow, RowGroups, Store


class LayerStream:
    """Measures layer after layer, and gives their filters as record batches.

    After the ``batches`` are exhausted ``layer_rows``, ``num_filters``, ``notes`` and ``left_out`` (names of layers
    that were not taken) are complete. ``largest`` holds the largest |w| of each layer whose filters were given, by
    ``layer_id``.

    Args:
        model_id: of the rows.
        non_finite: what becomes of layers that are not finite.
    """

    def __init__(self, model_id: str, non_finite: NonFinite) -> None:
        self._model_id, self._non_finite = model_id, non_finite
        self.layer_rows: list[dict[str, Any]] = []
        self.num_filters = 0
        self.notes: list[str] = []
        self.left_out: set[str] = set()
        self.largest: dict[int, float] = {}
        self._rows = RowGroups()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of ``FILTERS_SCHEMA``; rows of one layer are contiguous.

        Raises:
            UnextractableError: a weight is NaN or infinite and may not be left out, or nothing is left.
        """
        raise NotImplementedError

    def _leave_out(self, name: str, reason: str) -> None:
        self.notes.append(f"left out {name}: {reason}")
        self.left_out.add(name)

    def _measured(self, name: str, measure: Callable[[], LayerStatistics]) -> LayerStatistics | None:
        """``measure()`` of a layer; None where it is left out because it is not finite."""
        try:
            with stage(Stage.MEASURE):
                return measure()
        except UnextractableError as error:
            if error.reason is not SkipReason.NON_FINITE:
                raise
            if self._non_finite is NonFinite.refuse:
                way_out = "extract.non_finite=leave_out takes the other layers"
                raise UnextractableError(error.reason, f"{error} ({way_out})", error.place) from None
            self._leave_out(name, str(error).removeprefix(f"{name}: "))
            return None

    def _begin(self, facts: Mapping[str, Any], statistics: LayerStatistics) -> int:
        """The next row of ``layers``, of what is known of a layer and was measured; its ``layer_id``."""
        index = len(self.layer_rows)
        layer_id = layer_id_of(self._model_id, index)
        own = {"layer_id": layer_id, "model_id": self._model_id, "layer_index": index}
        self.layer_rows.append({**own, **facts, **asdict(statistics)})
        self.num_filters += statistics.num_filters
        self.largest[layer_id] = statistics.max_abs
        return layer_id

    def _filters(self, layer_id: int, filters: NDArray[np.float32]) -> Iterator[pa.RecordBatch]:
        """(k, 9) filters of the layer begun last."""
        return self._rows.add(layer_id, filters)


def into_store(
    reference: ModelReference,
    model_id: str,
    store: Store,
    stream: LayerStream,
    row: Callable[[], ModelRow],
    bytes_read: Callable[[], int],
) -> Outcome:
    """Write what ``stream`` gives.

    Args:
        reference: of the model.
        model_id: its id in the store.
        store: where to write.
        stream: not begun.
        row: of ``models``, asked for when the stream is exhausted.
        bytes_read: of checkpoint files so far.

    Raises:
        UnextractableError: as ``stream.batches``.
        RetryableError: reading or writing failed for a reason that may pass.
    """

    def finish() -> tuple[ModelRow, pa.Table]:
        return row(), pa.Table.from_pylist(stream.layer_rows, schema=LAYERS_SCHEMA)

    with stage(Stage.WRITE):
        receipt = store.write_model(model_id, stream.batches(), finish)
    if not receipt.created:
        return Outcome(reference, OutcomeKind.ALREADY_THERE, model_id=model_id, bytes_read=bytes_read())
    return Outcome(
        reference,
        OutcomeKind.EXTRACTED,
        model_id=model_id,
        filters=stream.num_filters,
        layers=len(stream.layer_rows),
        bytes_read=bytes_read(),
    )


def model_row(reference: ModelReference, model_id: str, stream: LayerStream, **found: Any) -> ModelRow:
    """The row of ``models``: what the reference knows, what the exhausted stream counted, and what was ``found``."""
    metadata = reference.metadata
    return ModelRow(
        model_id=model_id,
        name=reference.name,
        source=reference.source,
        uri=reference.root,
        revision=reference.revision,
        file=reference.entry,
        reference_key=reference.reference_key,
        **{name: getattr(metadata, name) for name in METADATA_FIELDS},
        attributes=dict(metadata.attributes) or None,
        origins=dict(metadata.origins),
        num_filters=stream.num_filters,
        num_layers_3x3=len(stream.layer_rows),
        bytes_total=reference.size,
        extracted_at=datetime.now(UTC),
        tool_version=__version__,
        variant=reference.variant or None,
        **found,
    )
