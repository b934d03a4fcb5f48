"""One checkpoint into the store: open, find the learned convolutions, measure each layer, write. No Ray here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distributed import __version__
from distributed.byte_sources import open_sources
from distributed.convolutions import (
    AxisOrderError,
    Convolution,
    ConvolutionPlan,
    UncertainWeightError,
    find_convolutions,
    fold,
    is_fixed,
    materialise,
    with_norms,
    without_fixed,
)
from distributed.convolutions.other_networks import other_networks
from distributed.errors import Place, SkipReason, UnextractableError
from distributed.formats import open_checkpoint
from distributed.formats.base import ByteSource, Checkpoint
from distributed.graph.facts import DepthMethod, GraphFacts
from distributed.graph.order import order_depths
from distributed.hub.settings import HubAccess
from distributed.local_files import LocalFile
from distributed.metrics import Stage, stage
from distributed.outcomes import Outcome, OutcomeKind
from distributed.records import LAYERS_SCHEMA
from distributed.references import METADATA_FIELDS, ModelReference, content_digest, layer_id_of, model_id_of
from distributed.settings import ExtractSettings, NonFinite
from distributed.sources.completing import completed
from distributed.statistics import LayerStatistics, layer_statistics
from distributed.store import ModelRow, RowGroups, Store
from distributed.values import as_tensor

if TYPE_CHECKING:
    import torch

#: What bytes that were damaged on the way look like.
_MAY_BE_DAMAGED = (SkipReason.UNREADABLE, SkipReason.UNSUPPORTED_FORMAT)

#: Notes that a refusal repeats before it only counts.
_MOST_NOTES = 12


def extract_model(
    reference: ModelReference,
    store: Store,
    settings: ExtractSettings,
    device: torch.device,
    scratch: Path,
    access: HubAccess = HubAccess(),
) -> Outcome:
    """Extract one model, or find that the store has it already.

    Args:
        reference: what to read.
        store: where to write.
        settings: how to read.
        device: where statistics are computed.
        scratch: an empty folder for downloads, removed by the caller.
        access: how the Hub is asked.

    Raises:
        UnextractableError: the checkpoint holds nothing to extract.
        RetryableError: reading or writing failed for a reason that may pass.
    """
    if reference.published is not None:
        from distributed.importing import import_model  # and with it h5py, which is an extra

        return import_model(reference, reference.published, store, settings.non_finite, device)
    with stage(Stage.OPEN):
        sources = open_sources(reference, scratch, access)
        model_id = _model_id(reference, sources)
    if store.has_model(model_id):
        return Outcome(reference, OutcomeKind.ALREADY_THERE, model_id=model_id, bytes_read=_bytes_read(sources))
    with ExitStack() as stack:
        with stage(Stage.OPEN):
            reference = described(reference, scratch, access)
            opened, sources, spent = _opened(reference, sources, settings, scratch, access)
            checkpoint = stack.enter_context(opened)
        with stage(Stage.PLAN):
            layout = plan_layers(reference, checkpoint, settings)
        stream = FilterStream(checkpoint, layout, model_id, device, settings.non_finite)

        def finish() -> tuple[ModelRow, pa.Table]:
            row = _model_row(reference, model_id, checkpoint, layout, stream, sources)
            return replace(row, bytes_read=spent + _bytes_read(sources)), pa.Table.from_pylist(
                stream.layer_rows, schema=LAYERS_SCHEMA
            )

        with stage(Stage.WRITE):
            receipt = store.write_model(model_id, stream.batches(), finish)
    kind = OutcomeKind.EXTRACTED if receipt.created else OutcomeKind.ALREADY_THERE
    written = stream.num_filters if receipt.created else 0
    layers = len(stream.layer_rows) if receipt.created else 0
    read = spent + _bytes_read(sources)
    return Outcome(reference, kind, model_id=model_id, filters=written, layers=layers, bytes_read=read)


def _opened(
    reference: ModelReference, sources: list[ByteSource], settings: ExtractSettings, scratch: Path, access: HubAccess
) -> tuple[Checkpoint, list[ByteSource], int]:
    """The checkpoint, the sources it reads, and bytes spent before.

    Ranges from the Hub have no digest: what cannot be understood is fetched once more before it is believed.
    """
    wish: dict[str, Any] = {"prefer_ema": settings.prefer_ema, "wanted": settings.patterns.takes}
    try:
        return open_checkpoint(sources, **wish), sources, 0
    except UnextractableError as error:
        if reference.revision is None or error.reason not in _MAY_BE_DAMAGED or _sha256(sources):
            raise
        again = open_sources(reference, scratch, access)
        return open_checkpoint(again, **wish), again, _bytes_read(sources)


def described(reference: ModelReference, scratch: Path, access: HubAccess = HubAccess()) -> ModelReference:
    """The reference with what its description says, if listing left that to be read.

    Raises:
        UnextractableError, RetryableError, PermanentError: it cannot be read; then neither is the model, whose depth
            and labels it tells.
    """
    if reference.config is None:
        return reference
    [source] = open_sources(replace(reference, files=(reference.config,)), scratch, access)
    [content] = source.read_ranges([(0, source.size)])
    return completed(reference, bytes(content).decode("utf-8", "replace"))


def _bytes_read(sources: Sequence[ByteSource]) -> int:
    return sum(source.bytes_read for source in sources)


def _model_id(reference: ModelReference, sources: Sequence[ByteSource]) -> str:
    """The model's id; for files on disk from their content, checked against the digest a manifest promises."""
    if reference.pinned_model_id is not None:
        return reference.pinned_model_id
    digests = [source.sha256() for source in sources if isinstance(source, LocalFile)]
    if reference.tied_sha256 is not None and digests[0] != reference.tied_sha256:
        raise UnextractableError(
            SkipReason.CHECKSUM_MISMATCH,
            f"{reference.entry}: SHA-256 is {digests[0]}, the manifest says {reference.tied_sha256}: "
            "fetch the file again or correct the manifest",
            Place(file=reference.entry, expected=reference.tied_sha256, found=digests[0]),
        )
    return model_id_of(reference.source, content_digest(digests), None, "", reference.variant)


@dataclass(frozen=True, slots=True)
class LayerLayout:
    """What will be extracted from one checkpoint, before any weight is read.

    Attributes:
        plan: every learned 2-D convolution, of all kernel sizes.
        layers: the 3x3 ones with at least one filter, in depth order: row i becomes ``layer_index`` i.
        depths: convolution name → conv_depth, for every convolution of the plan.
        method: how depth is known.
        op_counts: operators of the graph; None without one.
        notes: what was left aside and what fell back.
    """

    plan: ConvolutionPlan
    layers: tuple[Convolution, ...]
    depths: Mapping[str, int]
    method: DepthMethod
    op_counts: Mapping[str, int] | None
    notes: tuple[str, ...]

    def depth_norm(self, name: str) -> float:
        """conv_depth divided by the model's largest; 0 for a single level."""
        largest = max(self.depths.values(), default=0)
        return self.depths[name] / largest if largest else 0.0


def plan_layers(reference: ModelReference, checkpoint: Checkpoint, settings: ExtractSettings) -> LayerLayout:
    """Find the convolutions and their depths, by the best graph there is.

    Raises:
        UnextractableError: there is no 3x3 convolution, or the order of the weights' axes cannot be told.
        RetryableError: reading a small weight, to see whether it is a fixed kernel, failed for a reason that may pass.
    """
    graph, notes = checkpoint.graph, list(checkpoint.notes)
    if graph is None and reference.builder is not None and settings.trace:
        from distributed.graph.tracing import TraceError, trace  # and torch: seconds

        try:
            graph = trace(reference.builder)
        except TraceError as error:
            notes.append(f"depth is the checkpoint's order: {error}")
    plan = None
    try:
        if graph is not None:
            try:
                plan = _find(checkpoint, graph, settings)
            except ValueError as error:
                notes.append(f"depth is the checkpoint's order: {error}")
                graph = None
        if plan is None:
            plan = _find(checkpoint, None, settings)
    except AxisOrderError as error:
        raise UnextractableError(
            SkipReason.UNSUPPORTED_FORMAT, f"{reference.entry}: {error}", Place(file=reference.entry)
        ) from error
    if graph is not None:
        method, op_counts = graph.method, graph.op_counts
        depths = {c.name: graph.convolutions[c.name].depth for c in plan.convolutions}
    else:
        method, op_counts = DepthMethod.ORDER, None
        names = [c.name for c in plan.convolutions]
        shapes = [c.shape for c in plan.convolutions]
        depths = order_depths(names, shapes, checkpoint.order_known)
    chosen = [c for c in plan.convolutions if c.shape[2:] == (3, 3) and c.shape[0] * c.shape[1] > 0]
    if not chosen:
        sizes = sorted({f"{c.shape[2]}x{c.shape[3]}" for c in plan.convolutions})
        found = f"2-D convolutions of {', '.join(sizes)} only" if sizes else "no 2-D convolution"
        found = found if checkpoint.entries else "no tensor"
        raise _nothing_to_extract(reference.entry, found, (*notes, *plan.notes))
    layers = tuple(sorted(chosen, key=lambda c: depths[c.name]))
    return LayerLayout(plan, layers, depths, method, op_counts, (*notes, *plan.notes))


def _nothing_to_extract(entry: str, found: str, notes: Sequence[str]) -> UnextractableError:
    told = "; ".join(notes[:_MOST_NOTES]) + (
        f"; and {len(notes) - _MOST_NOTES} notes more" * (len(notes) > _MOST_NOTES)
    )
    return UnextractableError(
        SkipReason.NO_3X3_CONVOLUTION,
        f"{entry}: no learned 3x3 convolution ({found}{told and f'; {told}'})",
        Place(file=entry, expected="a 4-D weight (out, in, 3, 3)", found=found),
    )


def _find(checkpoint: Checkpoint, graph: GraphFacts | None, settings: ExtractSettings) -> ConvolutionPlan:
    others = other_networks(checkpoint.entries, settings.patterns, by_name=graph is None)
    plan = find_convolutions(
        [entry for entry in checkpoint.entries if entry.name not in others.names],
        None if graph is None else graph.without(settings.patterns.leaves),
        order_known=checkpoint.order_known,
        include_transposed=settings.include_transposed,
        include_quantised=settings.quantised,
        framework=checkpoint.framework,
    )
    plan = without_fixed(plan, checkpoint.read)
    if settings.fold_bn:
        plan = with_norms(plan, checkpoint.entries, graph, order_known=checkpoint.order_known)
    return replace(plan, remarks=(*others.notes, *plan.remarks))


class FilterStream:
    """Reads layer after layer, measures each while it is in memory, and gives its filters as record batches.

    ``largest`` holds the largest |w| of each layer whose filters were given, by ``layer_id``.

    After the batches are exhausted ``layer_rows``, ``num_filters``, ``notes`` and ``left_out`` (names of convolutions
    whose values show that they were never learned, or that they are not the weights, or are none) are complete. One
    layer is in memory at a time.

    Args:
        checkpoint: opened.
        layout: what to read of it.
        model_id: of the rows.
        device: where torch computes the statistics; None: here, without torch (see ``layer_statistics``).
        non_finite: what becomes of layers that are not finite.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        layout: LayerLayout,
        model_id: str,
        device: torch.device | str | None,
        non_finite: NonFinite = NonFinite.refuse,
    ) -> None:
        self._checkpoint, self._layout, self._model_id, self._device = checkpoint, layout, model_id, device
        self._non_finite = non_finite
        self.layer_rows: list[dict[str, Any]] = []
        self.num_filters = 0
        self.notes: list[str] = []
        self.left_out: set[str] = set()
        self.largest: dict[int, float] = {}
        self._rows = RowGroups()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of ``FILTERS_SCHEMA``; rows of one layer are contiguous.

        Raises:
            UnextractableError: a weight is NaN or infinite and may not be left out, or nothing learned is left.
        """
        parts = [part for layer in self._layout.layers for part in layer.reads]
        tensors = self._checkpoint.read(parts)
        for layer in self._layout.layers:
            with stage(Stage.READ):
                mine = dict(next(tensors) for _ in layer.reads)
            try:
                weight = materialise(layer, mine)
            except UncertainWeightError as error:
                del mine
                self._leave_out(layer, str(error))
                continue
            if is_fixed(weight, layer.dtype):
                self._leave_out(layer, "a fixed kernel by its values, not learned")
                continue
            weight = fold(weight, layer.norm, mine)
            del mine
            yield from self._layer(layer, weight)
            del weight  # or it keeps the memory of its batch while the next one is read
        yield from self._rows.rest()
        if not self.layer_rows:
            notes = [*self.notes, *self._layout.notes][:_MOST_NOTES]
            raise UnextractableError(
                SkipReason.NO_3X3_CONVOLUTION, f"no learned 3x3 convolution is left: {'; '.join(notes)}"
            )

    def _leave_out(self, layer: Convolution, reason: str) -> None:
        self.notes.append(f"left out {layer.name}: {reason}")
        self.left_out.add(layer.name)

    def _statistics(self, layer: Convolution, weight: NDArray[np.float32]) -> LayerStatistics | None:
        """Of one layer; None where it is left out because it is not finite."""
        try:
            with stage(Stage.MEASURE):
                if self._device is None:
                    return layer_statistics(weight, name=layer.name)
                return layer_statistics(as_tensor(weight).to(self._device), name=layer.name)
        except UnextractableError as error:
            if error.reason is not SkipReason.NON_FINITE:
                raise
            if self._non_finite is NonFinite.refuse:
                way_out = "extract.non_finite=leave_out takes the other layers"
                raise UnextractableError(error.reason, f"{error} ({way_out})", error.place) from None
            self._leave_out(layer, str(error).removeprefix(f"{layer.name}: "))
            return None

    def _layer(self, layer: Convolution, weight: NDArray[np.float32]) -> Iterator[pa.RecordBatch]:
        statistics = self._statistics(layer, weight)
        if statistics is None:
            return
        index = len(self.layer_rows)
        layer_id = layer_id_of(self._model_id, index)
        self.layer_rows.append(
            {
                "layer_id": layer_id,
                "model_id": self._model_id,
                "layer_index": index,
                "name": layer.name,
                "conv_depth": self._layout.depths[layer.name],
                "conv_depth_norm": self._layout.depth_norm(layer.name),
                "depth_method": str(self._layout.method),
                "out_channels": layer.shape[0],
                "in_channels": layer.shape[1],
                "groups": layer.groups,
                "is_depthwise": layer.is_depthwise,
                "is_transposed": layer.is_transposed,
                "dtype": layer.dtype,
                **asdict(statistics),
            }
        )
        self.num_filters += statistics.num_filters
        self.largest[layer_id] = statistics.max_abs
        yield from self._rows.add(layer_id, weight.reshape(-1, 9))


def _sha256(sources: Sequence[ByteSource]) -> str | None:
    """Digest of the checkpoint's content where all of its files were read whole and checked; None for ranges."""
    digests = [source.verified_sha256 for source in sources]
    return content_digest([d for d in digests if d]) if digests and all(digests) else None


def _model_row(
    reference: ModelReference,
    model_id: str,
    checkpoint: Checkpoint,
    layout: LayerLayout,
    stream: FilterStream,
    sources: Sequence[ByteSource],
) -> ModelRow:
    metadata = reference.metadata
    learned = tuple(c for c in layout.plan.convolutions if c.name not in stream.left_out)
    plan = replace(layout.plan, convolutions=learned)
    return ModelRow(
        model_id=model_id,
        name=reference.name,
        source=reference.source,
        uri=reference.root,
        revision=reference.revision,
        file=reference.entry,
        format=checkpoint.format,
        sha256=reference.weights_sha256 or _sha256(sources),
        reference_key=reference.reference_key,
        **{name: getattr(metadata, name) for name in METADATA_FIELDS},
        attributes=dict(metadata.attributes) or None,
        origins=dict(metadata.origins),
        num_parameters=layout.plan.num_parameters,
        total_filters=plan.total_filters,
        num_filters=stream.num_filters,
        share_3x3=stream.num_filters / plan.total_filters,
        kernel_shapes=plan.kernel_shapes,
        op_counts=None if layout.op_counts is None else dict(layout.op_counts),
        num_conv_layers=len(learned),
        num_layers_3x3=len(stream.layer_rows),
        notes=(*layout.notes, *stream.notes),
        bytes_read=_bytes_read(sources),
        bytes_total=reference.size,
        extracted_at=datetime.now(UTC),
        tool_version=__version__,
        variant=reference.variant or None,
    )
