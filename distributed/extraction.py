"""One checkpoint into the store: open, find the learned convolutions, measure each layer, write. No Ray here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
from distributed.layer_stream import LayerStream, into_store, model_row
from distributed.local_files import LocalFile
from distributed.metrics import Stage, stage
from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import ModelReference, content_digest, model_id_of
from distributed.settings import ExtractSettings, NonFinite
from distributed.sources.completing import completed
from distributed.statistics import LayerStatistics, layer_statistics
from distributed.store import ModelRow, Store
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

        def bytes_read() -> int:
            return spent + _bytes_read(sources)

        def row() -> ModelRow:
            return _model_row(reference, model_id, checkpoint, layout, stream, sources, bytes_read())

        return into_store(reference, model_id, store, stream, row, bytes_read)


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


class FilterStream(LayerStream):
    """Reads layer after layer of a checkpoint, and measures each while it is in memory: one at a time.

    ``left_out`` are the convolutions whose values show that they were never learned, or that they are not the weights,
    or are none.

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
        super().__init__(model_id, non_finite)
        self._checkpoint, self._layout, self._device = checkpoint, layout, device

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See ``LayerStream.batches``."""
        parts = [part for layer in self._layout.layers for part in layer.reads]
        tensors = self._checkpoint.read(parts)
        for layer in self._layout.layers:
            with stage(Stage.READ):
                mine = dict(next(tensors) for _ in layer.reads)
            try:
                weight = materialise(layer, mine)
            except UncertainWeightError as error:
                del mine
                self._leave_out(layer.name, str(error))
                continue
            if is_fixed(weight, layer.dtype):
                self._leave_out(layer.name, "a fixed kernel by its values, not learned")
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

    def _statistics(self, name: str, weight: NDArray[np.float32]) -> LayerStatistics:
        if self._device is None:
            return layer_statistics(weight, name=name)
        return layer_statistics(as_tensor(weight).to(self._device), name=name)

    def _layer(self, layer: Convolution, weight: NDArray[np.float32]) -> Iterator[pa.RecordBatch]:
        statistics = self._measured(layer.name, lambda: self._statistics(layer.name, weight))
        if statistics is None:
            return
        facts = {
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
        }
        yield from self._filters(self._begin(facts, statistics), weight.reshape(-1, 9))


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
    bytes_read: int,
) -> ModelRow:
    learned = tuple(c for c in layout.plan.convolutions if c.name not in stream.left_out)
    plan = replace(layout.plan, convolutions=learned)
    return model_row(
        reference,
        model_id,
        stream,
        format=checkpoint.format,
        sha256=reference.weights_sha256 or _sha256(sources),
        num_parameters=layout.plan.num_parameters,
        total_filters=plan.total_filters,
        share_3x3=stream.num_filters / plan.total_filters,
        kernel_shapes=plan.kernel_shapes,
        op_counts=None if layout.op_counts is None else dict(layout.op_counts),
        num_conv_layers=len(learned),
        notes=(*layout.notes, *stream.notes),
        bytes_read=bytes_read,
    )
