"""Depth and operators from an ONNX model's own graph.

The rule is the original extraction's (DESIGN §3): a node's level is the number of nodes on the longest path from the
model's inputs to it, and a convolution's depth is the rank of its level among the levels that hold any 2-D convolution,
1x1 included. Nodes that only prepare weights (Constant, and Cast, Transpose … of stored tensors) are on no such path.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts
from distributed.graph.onnx_flow import OnnxFlow, Operator, StoredTensor, flatten

#: Convolution → position of its weight among the inputs. FusedConv is ONNX Runtime's Conv with its activation.
LEARNED_CONVOLUTIONS = {"Conv": 1, "ConvTranspose": 1, "FusedConv": 1}
#: Convolutions on integers: counted in depth, their weights are not filters as trained.
QUANTIZED_CONVOLUTIONS = {"ConvInteger": 1, "QLinearConv": 3}

#: Element types of weights as trained.
FLOATING_TYPES = frozenset(
    value
    for name, value in onnx.TensorProto.DataType.items()
    if name in ("FLOAT", "DOUBLE", "BFLOAT16") or name.startswith(("FLOAT16", "FLOAT8"))
)

#: What hands a stored tensor on with its values as they are, up to their type.
_HANDS_ON = frozenset({"Identity", "Cast", "CastLike"})

#: Nodes between a tensor and its use. Exporters write one or two; a hostile graph could make the search quadratic.
MAX_HANDS = 64

_NOT_DATA = -1


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """A model's graph, understood.

    Attributes:
        facts: what every graph tells.
        flow: the flat graph; its ``tensors`` are where the weights named in ``facts`` are.
        notes: which convolutions were left aside and why, one sentence each.
    """

    facts: GraphFacts
    flow: OnnxFlow
    notes: tuple[str, ...]


def understand(model: onnx.ModelProto, file: str) -> OnnxGraph:
    """A parsed model's graph; external data is not needed.

    Bodies of If, Loop and Scan and local functions are looked into; a body that runs many times counts once.
    ``op_counts`` are ``op_type`` counts over all of them, Constant nodes included.

    Args:
        model: as parsed.
        file: its name, for messages.

    Raises:
        UnextractableError: the graph has a cycle, reads what nothing provides, or is otherwise inconsistent.
    """
    flow = flatten(model, file)
    levels = _levels(flow, file)
    convolutions = [
        (index, operator) for index, operator in enumerate(flow.operators) if _is_2d_convolution(flow, operator)
    ]
    ranks = {level: rank for rank, level in enumerate(sorted({levels[index] for index, _ in convolutions}))}
    facts: dict[str, ConvolutionFacts] = {}
    left_out: Counter[str] = Counter()
    for index, operator in convolutions:
        weight = _learned_weight(flow, operator)
        if isinstance(weight, str):
            left_out[weight] += 1
            continue
        depth = ranks[levels[index]]
        known = facts.get(weight.name)
        if known is None:
            groups = operator.attributes["group"].i if "group" in operator.attributes else 1
            facts[weight.name] = ConvolutionFacts(depth, groups, operator.op_type == "ConvTranspose")
        elif depth < known.depth:
            facts[weight.name] = ConvolutionFacts(depth, known.groups, known.transposed)
    notes = tuple(f"left out {count} 2-D convolution(s) {reason}" for reason, count in left_out.items())
    counts = Counter(operator.op_type for operator in flow.operators if operator.op_type)
    return OnnxGraph(GraphFacts(DepthMethod.ONNX, facts, dict(counts)), flow, notes)


def stored_origin(flow: OnnxFlow, value: int) -> StoredTensor | str:
    """The stored tensor behind a value, looking through Identity and Cast; else why there is none, in words."""
    for _ in range(MAX_HANDS):
        if value in flow.tensors:
            return flow.tensors[value]
        if value in flow.sparse:
            return "with a sparse weight"
        if value not in flow.producers:
            return "whose weight is an input of the model" if value >= 0 else "without a weight"
        producer = flow.operators[flow.producers[value]]
        if producer.op_type not in _HANDS_ON or not producer.inputs:
            if producer.op_type == "DequantizeLinear":
                return "with a quantised weight (DequantizeLinear)"
            return f"whose weight is computed in the graph ({producer.op_type or 'a body input'})"
        value = producer.inputs[0]
    return f"whose weight passes through more than {MAX_HANDS} nodes"


def _learned_weight(flow: OnnxFlow, operator: Operator) -> StoredTensor | str:
    if operator.op_type in QUANTIZED_CONVOLUTIONS:
        return f"with a quantised weight ({operator.op_type})"
    origin = stored_origin(flow, _weight_input(operator, LEARNED_CONVOLUTIONS[operator.op_type]))
    if isinstance(origin, StoredTensor) and origin.proto.data_type not in FLOATING_TYPES:
        return f"with a weight stored as {onnx.TensorProto.DataType.Name(origin.proto.data_type)}"
    return origin


def _weight_input(operator: Operator, position: int) -> int:
    return operator.inputs[position] if position < len(operator.inputs) else _NOT_DATA


def _is_2d_convolution(flow: OnnxFlow, operator: Operator) -> bool:
    position = (LEARNED_CONVOLUTIONS | QUANTIZED_CONVOLUTIONS).get(operator.op_type)
    if position is None:
        return False
    origin = stored_origin(flow, _weight_input(operator, position))
    if isinstance(origin, StoredTensor):
        return len(origin.proto.dims) == 4
    # The weight's rank is not in the file: the kernel's is, where the exporter wrote the attribute.
    kernel = operator.attributes.get("kernel_shape")
    return kernel is not None and len(kernel.ints) == 2


def _levels(flow: OnnxFlow, file: str) -> list[int]:
    """Level of each operator: 0 for the first behind the model's inputs, -1 for those that only prepare weights."""
    order = _topological(flow, file)
    levels = [_NOT_DATA] * len(flow.operators)
    is_data = [value not in flow.tensors and value not in flow.sparse for value in range(flow.values)]
    for index in order:
        operator = flow.operators[index]
        below = [value for value in operator.inputs if value >= 0 and is_data[value]]
        if not below and _prepares_weights(operator):
            for value in operator.outputs:
                if value >= 0:
                    is_data[value] = False
            continue
        highest = max((levels[flow.producers[value]] for value in below if value in flow.producers), default=_NOT_DATA)
        # The link to a body's inputs ("") is no operator and no step.
        levels[index] = highest + 1 if operator.op_type else highest
    return levels


def _prepares_weights(operator: Operator) -> bool:
    """Whether an operator without data below it is a constant, too.

    Not so the random sources (no inputs, but data), nor convolutions of a learned constant (generators start so).
    """
    if operator.op_type in LEARNED_CONVOLUTIONS or operator.op_type in QUANTIZED_CONVOLUTIONS:
        return False
    return operator.op_type in ("Constant", "") or any(value >= 0 for value in operator.inputs)


def _topological(flow: OnnxFlow, file: str) -> Sequence[int]:
    """Indices of the operators, each behind those it reads from (Kahn's algorithm)."""
    readers: list[list[int]] = [[] for _ in flow.operators]
    waiting = [0] * len(flow.operators)
    for index, operator in enumerate(flow.operators):
        for producer in {flow.producers[value] for value in operator.inputs if value in flow.producers}:
            readers[producer].append(index)
            waiting[index] += 1
    ready = deque(index for index, count in enumerate(waiting) if count == 0)
    order: list[int] = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    if len(order) < len(flow.operators):
        stuck = next(index for index, count in enumerate(waiting) if count > 0)
        name = flow.operators[stuck].name
        raise UnextractableError(
            SkipReason.UNREADABLE,
            f"{file}: the ONNX graph has a cycle at or before node {name!r}: export the model again",
            Place(file=file, expected="a graph without cycles", found=f"a cycle at or before node {name!r}"),
        )
    return order
