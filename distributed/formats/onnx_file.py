"""ONNX models: weights and graph of one file, with external data beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.formats.base import ByteSource, TensorEntry
from distributed.formats.fetching import Fetched, Part
from distributed.formats.onnx_tensors import DTYPES, TORCH_DTYPES, TensorReader
from distributed.formats.problems import unreadable
from distributed.formats.range_plan import batches
from distributed.graph.facts import GraphFacts
from distributed.graph.onnx_flow import StoredTensor
from distributed.graph.onnx_folding import ConstantFolder, Held, Load, NotConstantError, Unread
from distributed.graph.onnx_levels import OnnxGraph, understand
from distributed.local_files import error_from_disk
from distributed.values import Values, dtype_of, is_floating

#: A protobuf message has to be smaller; larger models keep their weights in external files.
MAX_GRAPH_BYTES: Final = 2**31 - 1

#: Lists of integers up to this length may be shapes, axes and bounds, and are read at once.
MAX_LISTED: Final = 64

#: Operator → positions of the inputs that are weights. A Constant there is a weight written another way; elsewhere it
#: is a number of the computation (a scale, a shape, an axis).
_WEIGHT_INPUTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "FusedConv": (1, 2),
    "DeformConv": (1, 3),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "BatchNormalization": (1, 2, 3, 4),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "LSTM": (1, 2, 3),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
}


class OnnxCheckpoint:
    """An opened ONNX model.

    ``entries`` are the floating-point initialisers and the Constant nodes that serve as weights, by their names in the
    file, in the order of their first use (initialisers that no node uses come last). Integer tensors are shapes or
    indices, and no entries. A weight that several nodes use is one entry. Names that an exporter made up when it folded
    a normalisation into a convolution (``355``) stay as they are.

    A convolution's weight that the graph makes from stored tensors (transposed, scaled, put together, dequantised) is
    an entry of the made shape, by the name of the largest of them, in their place; one made from integers has their
    type, and is read as the floats that they stand for.

    Lifecycle: the constructor reads the graph file as a whole and checks every entry; external data is read by
    ``read``, only in the asked ranges; leaving the context frees the graph.

    Args:
        sources: the graph file, then files of external data, found by their path relative to the graph's folder.

    Raises:
        UnextractableError: no ONNX model, damaged, inconsistent, or external data missing or out of bounds.
        RetryableError: reading failed for a reason that may pass.
    """

    def __init__(self, sources: Sequence[ByteSource]) -> None:
        if not sources:
            raise ValueError("an ONNX model has at least its graph file")
        source = sources[0]
        model = _parse(source)
        self._reader = TensorReader(source, {other.name: other for other in sources[1:]})
        self._graph: OnnxGraph | None = understand(model, source.name, self._shape)
        self._facts = self._graph.facts
        self._stored = _in_order_of_use(self._graph, self._shape)
        for name, stored in self._stored.items():
            if stored is not None:
                self._reader.check(name, stored.proto)
        self._entries = tuple(_entry(name, stored, self._graph) for name, stored in self._stored.items())
        self._notes = (*self._graph.notes, *_left_out(model, self._graph))

    def _shape(self, stored: StoredTensor) -> Held:
        """A stored tensor as folding needs it before anything is read: a few integers as they are, else its shape."""
        dtype = _dtype(stored)
        self._reader.check(stored.name, stored.proto)
        dims = tuple(stored.proto.dims)
        if is_floating(dtype) or len(dims) > 1 or math.prod(dims) > MAX_LISTED:
            return Unread(dims, dtype)
        return self._value(stored)

    def _value(self, stored: StoredTensor, fetched: Fetched | None = None) -> Values:
        _dtype(stored)
        return self._reader.tensor(stored.name, stored.proto, fetched)

    def _parts(self, name: str, graph: OnnxGraph) -> list[Part]:
        """The external data that an entry is, or is made from."""
        stored = self._stored[name]
        leaves = graph.made[name].weight.folded.leaves if stored is None else ()
        tensors = [stored] if stored is not None else [graph.flow.tensors[leaf] for leaf in leaves]
        parts = [self._reader.check(tensor.name, tensor.proto) for tensor in tensors]
        return [part for part in parts if part is not None]

    @property
    def format(self) -> str:
        """``onnx``."""
        return "onnx"

    @property
    def entries(self) -> Sequence[TensorEntry]:
        """Weights in the order of their first use."""
        return self._entries

    @property
    def order_known(self) -> bool:
        """Always: the graph is the order."""
        return True

    @property
    def graph(self) -> GraphFacts | None:
        """Facts from the file's own graph."""
        return self._facts

    @property
    def framework(self) -> str | None:
        """See ``Checkpoint.framework``: nothing says."""
        return None

    @property
    def notes(self) -> Sequence[str]:
        """What was left aside and why."""
        return self._notes

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """The tensors of these names, in this order, as stored.

        Raises:
            UnextractableError: no such entry, or its data is damaged.
            RetryableError: reading external data failed for a reason that may pass.
        """
        graph = self._graph_with(names)
        parts = [self._parts(name, graph) for name in names]
        for batch in batches([sum(part.stop - part.start for part in each) for each in parts]):
            value = partial(self._value, fetched=Fetched([part for index in batch for part in parts[index]]))
            for index in batch:
                name, stored = names[index], self._stored[names[index]]
                yield name, graph.make(name, value) if stored is None else value(stored)
            del value  # before the next batch is fetched

    def _graph_with(self, names: Sequence[str]) -> OnnxGraph:
        unknown = [name for name in names if name not in self._stored]
        if self._graph is None or unknown:
            raise UnextractableError(
                SkipReason.UNREADABLE,
                f"the ONNX model has no weight {', '.join(map(repr, unknown[:1]))}: names are those of its entries",
                Place(tensor=unknown[0] if unknown else None),
            )
        return self._graph

    def __enter__(self) -> OnnxCheckpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        # The protobuf tree holds every weight that lies in the graph file.
        self._stored, self._graph = {}, None


def _parse(source: ByteSource) -> onnx.ModelProto:
    if source.size > MAX_GRAPH_BYTES:
        raise unreadable(
            source.name,
            "is over 2 GiB, which protobuf cannot hold: export with external data",
            expected="< 2 GiB",
            found=f"{source.size} bytes",
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(_content(source) if source.size else b"")
    except DecodeError as error:
        raise unreadable(
            source.name,
            "is no ONNX model or is cut off: fetch it again",
            found=f"bytes that protobuf cannot parse: {error}",
        ) from error
    if not model.HasField("graph") or not model.graph.node:
        raise unreadable(source.name, "holds no graph: fetch or export it again")
    return model


def _content(source: ByteSource) -> bytes:
    """The graph file, all of which is needed: as a whole it can be verified."""
    path = source.local_path()
    try:
        return path.read_bytes()
    except OSError as error:
        raise error_from_disk(error, path, source.name) from error


def _dtype(stored: StoredTensor) -> str:
    if stored.proto.data_type not in DTYPES:
        raise NotConstantError(f"with a weight stored as {stored.type_name}")
    return DTYPES[stored.proto.data_type]


def _in_order_of_use(graph: OnnxGraph, load: Load) -> dict[str, StoredTensor | None]:
    """Floating-point weights, each once: as nodes read them, then the initialisers that none reads; None: it is made.

    What a weight is made from is in the weight, and stands for itself only where another operator has it as a weight.
    """
    flow = graph.flow
    folder = ConstantFolder(flow, load)
    made = {id(each.operator): name for name, each in graph.made.items()}
    parts = {value for each in graph.made.values() for value in each.weight.folded.leaves}
    found: dict[str, StoredTensor | None] = {}
    for operator in flow.operators:
        if id(operator) in made:
            found[made[id(operator)]] = None
        weights = _WEIGHT_INPUTS.get(operator.op_type, ())
        for position, value in enumerate(operator.inputs):
            tensor = flow.tensors.get(value) or (_stored_behind(value, folder) if position in weights else None)
            if tensor is not None and (position in weights or not (tensor.is_constant or value in parts)):
                found.setdefault(tensor.name, tensor)
    for value, tensor in flow.tensors.items():
        if (not tensor.is_constant and value not in parts) or tensor.name in graph.facts.convolutions:
            found.setdefault(tensor.name, tensor)
    return {
        name: None if name in graph.made else tensor
        for name, tensor in found.items()
        if tensor is None or tensor.proto.data_type in TORCH_DTYPES
    }


def _stored_behind(value: int, folder: ConstantFolder) -> StoredTensor | None:
    try:
        folded = folder.fold(value)
    except NotConstantError:
        return None
    return folded.principal if folded.is_stored else None


def _entry(name: str, stored: StoredTensor | None, graph: OnnxGraph) -> TensorEntry:
    if stored is not None:
        return TensorEntry(name, tuple(stored.proto.dims), TORCH_DTYPES[stored.proto.data_type])
    weight = graph.made[name].weight
    principal = DTYPES[weight.principal.proto.data_type]
    dtype = dtype_of(weight.held) if is_floating(principal) else principal
    return TensorEntry(name, tuple(weight.held.shape), dtype, is_dequantised=not is_floating(dtype))


def _left_out(model: onnx.ModelProto, graph: OnnxGraph) -> list[str]:
    notes = []
    flow = graph.flow
    if flow.sparse:
        notes.append(f"left out {len(flow.sparse)} sparse tensor(s), first {next(iter(flow.sparse.values()))!r}")
    if model.training_info:
        notes.append("left out the training graph and its state (training_info)")
    parts = {value for each in graph.made.values() for value in each.weight.folded.leaves}
    types = Counter(
        tensor.type_name
        for value, tensor in flow.tensors.items()
        if not tensor.is_constant
        and value not in parts
        and tensor.proto.data_type not in TORCH_DTYPES
        and len(tensor.proto.dims) >= 2
    )
    notes += [f"left out {count} {name} tensor(s): not floating point" for name, count in types.items()]
    return notes
