"""Depth and operators from an ONNX model's own graph.

The rule is the original extraction's (DESIGN §3): a node's level is the number of nodes on the longest path from the
model's inputs to it, and a convolution's depth is the rank of its level among the levels that hold any 2-D convolution,
1x1 included. Nodes that only prepare weights (Constant, and Cast, Transpose … of stored tensors) are on no such path.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import onnx

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts
from distributed.graph.onnx_convolutions import (
    ConvolutionWeight,
    Readers,
    groups_of,
    is_convolution,
    is_transposed,
    rank_of,
    weight_of,
)
from distributed.graph.onnx_flow import OnnxFlow, Operator, StoredTensor, flatten
from distributed.graph.onnx_folding import ConstantFolder, Load, NotConstantError, Unread
from distributed.values import Values

#: Element types of weights as trained.
FLOATING_TYPES = frozenset(
    value
    for name, value in onnx.TensorProto.DataType.items()
    if name in ("FLOAT", "DOUBLE", "BFLOAT16") or name.startswith(("FLOAT16", "FLOAT8"))
)

_NOT_DATA = -1


@dataclass(frozen=True, slots=True)
class MadeWeight:
    """A weight that is made from stored tensors, and the convolution that it is made for."""

    operator: Operator
    weight: ConvolutionWeight


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """A model's graph, understood.

    Attributes:
        facts: what every graph tells.
        flow: the flat graph; its ``tensors`` are where the weights named in ``facts`` are, those of ``made`` aside.
        made: weights of convolutions that are no stored tensors but made from such, by their names in ``facts``.
        notes: which convolutions were left aside and why, one sentence each.
    """

    facts: GraphFacts
    flow: OnnxFlow
    made: Mapping[str, MadeWeight]
    notes: tuple[str, ...]

    def make(self, name: str, load: Callable[[StoredTensor], Values]) -> Values:
        """One weight of ``made``, computed from the stored tensors that ``load`` gives."""
        made = weight_of(self.made[name].operator, ConstantFolder(self.flow, load), Readers(self.flow)).held
        assert not isinstance(made, Unread)  # load reads
        return np.ascontiguousarray(made) if isinstance(made, np.ndarray) else made.contiguous()


def _shape_only(stored: StoredTensor) -> Unread:
    return Unread(tuple(stored.proto.dims), "float32" if stored.proto.data_type in FLOATING_TYPES else "int8")


def understand(model: onnx.ModelProto, file: str, load: Load = _shape_only) -> OnnxGraph:
    """A parsed model's graph; external data is not needed.

    Bodies of If, Loop and Scan and local functions are looked into; a body that runs many times counts once.
    ``op_counts`` are ``op_type`` counts over all of them, Constant nodes included.

    Args:
        model: as parsed.
        file: its name, for messages.
        load: gives stored tensors: those of a few integers with their values, all others by shape and type. The
            default knows no values: what is folded by listed integers then counts as not in the file.

    Raises:
        UnextractableError: the graph has a cycle, reads what nothing provides, or is otherwise inconsistent.
    """
    flow = flatten(model, file)
    levels = _levels(flow, file)
    folder = ConstantFolder(flow, load)
    convolutions = [
        (index, operator)
        for index, operator in enumerate(flow.operators)
        if is_convolution(operator) and rank_of(operator, folder) == 4
    ]
    ranks = {level: rank for rank, level in enumerate(sorted({levels[index] for index, _ in convolutions}))}
    weights, left_out = _weights([operator for _, operator in convolutions], folder, Readers(flow))
    names = _names(weights.values(), {tensor.name for tensor in flow.tensors.values()})
    facts: dict[str, ConvolutionFacts] = {}
    made: dict[str, MadeWeight] = {}
    for index, (level, operator) in enumerate(convolutions):
        if index not in weights:
            continue
        weight = weights[index]
        name, depth = names[weight.key], ranks[levels[level]]
        known = facts.get(name)
        if known is None:
            facts[name] = ConvolutionFacts(depth, groups_of(operator), is_transposed(operator))
        elif depth < known.depth:
            facts[name] = ConvolutionFacts(depth, known.groups, known.transposed)
        if not weight.is_stored:
            made.setdefault(name, MadeWeight(operator, weight))
    notes = tuple(f"left out {count} 2-D convolution(s) {reason}" for reason, count in left_out.items())
    counts = Counter(operator.op_type for operator in flow.operators if operator.op_type)
    return OnnxGraph(GraphFacts(DepthMethod.ONNX, facts, dict(counts)), flow, made, notes)


def _weights(
    convolutions: Sequence[Operator], folder: ConstantFolder, readers: Readers
) -> tuple[dict[int, ConvolutionWeight], Counter[str]]:
    """Position among the convolutions → weight, and why others have none, in words → how many."""
    weights: dict[int, ConvolutionWeight] = {}
    left_out: Counter[str] = Counter()
    for index, operator in enumerate(convolutions):
        try:
            weights[index] = weight_of(operator, folder, readers)
        except NotConstantError as error:
            left_out[str(error)] += 1
    return weights, left_out


def _names(weights: Iterable[ConvolutionWeight], stored: Set[str]) -> dict[object, str]:
    """Key of a weight → its name: that of the stored tensor that it is, or that most of it comes from."""
    distinct = {weight.key: weight for weight in weights}
    names = {key: weight.principal.name for key, weight in distinct.items() if weight.is_stored}
    taken = set(names.values())
    for key, weight in distinct.items():
        if key not in names:
            name = own = weight.principal.name
            number = 1
            while name in taken or (name != own and name in stored):
                number += 1
                name = f"{own}#{number}"
            names[key] = name
            taken.add(name)
    return names


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
    if is_convolution(operator):
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
