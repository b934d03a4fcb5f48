"""ONNX models: weights and graph of one file, with external data beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.formats.base import ByteSource, TensorEntry
from distributed.formats.onnx_tensors import TORCH_DTYPES, TensorReader
from distributed.formats.problems import unreadable
from distributed.graph.facts import GraphFacts
from distributed.graph.onnx_flow import OnnxFlow, StoredTensor
from distributed.graph.onnx_levels import stored_origin, understand

#: A protobuf message has to be smaller; larger models keep their weights in external files.
MAX_GRAPH_BYTES: Final = 2**31 - 1

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
    file, in the order of their first use (initialisers that no node uses come last). Integer tensors are shapes,
    indices or quantised weights, and no entries. A weight that several nodes use is one entry. Names that an exporter
    made up when it folded a normalisation into a convolution (``355``) stay as they are.

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
        graph = understand(model, source.name)
        self._facts = graph.facts
        self._reader = TensorReader(source, {other.name: other for other in sources[1:]})
        self._tensors = {stored.name: stored.proto for stored in _in_order_of_use(graph.flow)}
        for name, proto in self._tensors.items():
            self._reader.check(name, proto)
        self._entries = tuple(
            TensorEntry(name, tuple(proto.dims), str(TORCH_DTYPES[proto.data_type]).removeprefix("torch."))
            for name, proto in self._tensors.items()
        )
        self._notes = (*graph.notes, *_left_out(model, graph.flow))

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
    def notes(self) -> Sequence[str]:
        """What was left aside and why."""
        return self._notes

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors of these names, in this order, as stored.

        Raises:
            UnextractableError: no such entry, or its data is damaged.
            RetryableError: reading external data failed for a reason that may pass.
        """
        for name in names:
            if name not in self._tensors:
                raise UnextractableError(
                    SkipReason.UNREADABLE,
                    f"the ONNX model has no weight {name!r}: names are those of its entries",
                    Place(tensor=name),
                )
            yield name, self._reader.tensor(name, self._tensors[name])

    def __enter__(self) -> OnnxCheckpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        # The protobuf tree holds every weight that lies in the graph file.
        self._tensors = {}


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
        model.ParseFromString(bytes(source.read_ranges([(0, source.size)])[0]) if source.size else b"")
    except DecodeError as error:
        raise unreadable(
            source.name,
            "is no ONNX model or is cut off: fetch it again",
            found=f"bytes that protobuf cannot parse: {error}",
        ) from error
    if not model.HasField("graph") or not model.graph.node:
        raise unreadable(source.name, "holds no graph: fetch or export it again")
    return model


def _in_order_of_use(flow: OnnxFlow) -> list[StoredTensor]:
    """Floating-point weights, each once: as nodes read them, then the initialisers that none reads."""
    found: dict[str, StoredTensor] = {}
    for operator in flow.operators:
        weights = _WEIGHT_INPUTS.get(operator.op_type, ())
        for position, value in enumerate(operator.inputs):
            origin = flow.tensors.get(value) or (stored_origin(flow, value) if position in weights else None)
            if isinstance(origin, StoredTensor) and (not origin.is_constant or position in weights):
                found.setdefault(origin.name, origin)
    for tensor in flow.tensors.values():
        if not tensor.is_constant:
            found.setdefault(tensor.name, tensor)
    return [tensor for tensor in found.values() if tensor.proto.data_type in TORCH_DTYPES]


def _left_out(model: onnx.ModelProto, flow: OnnxFlow) -> list[str]:
    notes = []
    if flow.sparse:
        notes.append(f"left out {len(flow.sparse)} sparse tensor(s), first {next(iter(flow.sparse.values()))!r}")
    if model.training_info:
        notes.append("left out the training graph and its state (training_info)")
    types = Counter(
        onnx.TensorProto.DataType.Name(tensor.proto.data_type)
        for tensor in flow.tensors.values()
        if not tensor.is_constant and tensor.proto.data_type not in TORCH_DTYPES and len(tensor.proto.dims) >= 2
    )
    notes += [f"left out {count} {name} tensor(s): not floating point" for name, count in types.items()]
    return notes
