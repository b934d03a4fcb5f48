"""An ONNX model as one flat list of operators: scopes resolved, control flow and local functions opened.

Nothing is run and nothing is trusted: names that nothing provides, names provided twice, functions that call themselves
or unfold without end are reported with their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from distributed.errors import Place, SkipReason, UnextractableError

#: Bodies in bodies, functions in functions. Real exports stay below ten; a function that calls itself does not.
MAX_NESTING = 32
#: Nodes after unfolding. The largest public exports have about a hundred thousand.
MAX_OPERATORS = 2_000_000

_STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor whose values are in the file: an initialiser or a Constant.

    Attributes:
        name: the initialiser's or the Constant output's own name; where two bodies or two calls of a function use the
            same one, the later is preceded by the path of its body (``if_3.else_branch/weight``).
        proto: dimensions, type and data.
        is_constant: a Constant node rather than an initialiser.
    """

    name: str
    proto: onnx.TensorProto
    is_constant: bool

    @property
    def type_name(self) -> str:
        """Its element type in ONNX's words, or the number that stands for none."""
        number = self.proto.data_type
        known = number in onnx.TensorProto.DataType.values()
        return str(onnx.TensorProto.DataType.Name(number)) if known else f"type {number}"


@dataclass(frozen=True, slots=True)
class Operator:
    """One node, with values by number instead of by name.

    Attributes:
        op_type: as in the file; "" for the link between a control-flow node and its body, which is no operator.
        name: node name with the path of its body, for messages.
        inputs: value numbers, -1 for an omitted optional input. For control flow followed by what its bodies yield.
        outputs: value numbers, -1 for an omitted output.
        attributes: by name, references to a function's attributes resolved.
        domain: of the operator set, "" for the standard one.
    """

    op_type: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    domain: str = ""

    def integer(self, key: str, default: int) -> int:
        """An integer attribute, or its default."""
        return self.attributes[key].i if key in self.attributes else default

    def integers(self, key: str) -> tuple[int, ...] | None:
        """An attribute that lists integers; None where the node has none."""
        return tuple(self.attributes[key].ints) if key in self.attributes else None


@dataclass(slots=True)
class OnnxFlow:
    """A flattened model.

    Attributes:
        operators: in file order; bodies right before the node that runs them.
        tensors: value number → tensor stored in the file.
        sparse: value number → name, of tensors stored as sparse ones.
        producers: value number → index of the operator that gives it.
        values: how many value numbers there are.
    """

    operators: list[Operator] = field(default_factory=list)
    tensors: dict[int, StoredTensor] = field(default_factory=dict)
    sparse: dict[int, str] = field(default_factory=dict)
    producers: dict[int, int] = field(default_factory=dict)
    values: int = 0


def flatten(model: onnx.ModelProto, file: str) -> OnnxFlow:
    """Resolve a model's names into a flow.

    Args:
        model: parsed, external data not loaded.
        file: its name, for messages.

    Raises:
        UnextractableError: the graph is inconsistent.
    """
    flattener = _Flattener(model, file)
    scope = _Scope({})
    flattener.body(model.graph, scope, depth=0, external_inputs=None)
    return flattener.flow


@dataclass(frozen=True, slots=True)
class _Scope:
    """The names of one graph body or one function call.

    Attributes:
        names: name → value number.
        parent: the scope whose names a body sees as well; None for the main graph and for functions.
        path: precedes the names of nodes in messages.
        arguments: a function's attributes at this call.
        awaited: names that the caller has defined and a node of this body gives (a function's outputs).
    """

    names: dict[str, int]
    parent: _Scope | None = None
    path: str = ""
    arguments: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()

    def find(self, name: str) -> int | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None


class _Flattener:
    def __init__(self, model: onnx.ModelProto, file: str) -> None:
        self.flow = OnnxFlow()
        self._file = file
        self._functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self._stored_names: set[str] = set()
        self._nodes_seen = 0

    def _error(self, message: str, tensor: str | None = None) -> UnextractableError:
        # One line, whatever line breaks the names in a hostile file hold.
        text = " ".join(f"{self._file}: {message}".split())
        return UnextractableError(SkipReason.UNREADABLE, text, Place(file=self._file, tensor=tensor))

    def _define(self, name: str, scope: _Scope) -> int:
        if name in scope.names:
            raise self._error(f"the ONNX graph defines {name!r} twice: export the model again", name)
        scope.names[name] = self.flow.values
        self.flow.values += 1
        return scope.names[name]

    def _store(self, value: int, proto: onnx.TensorProto, name: str, scope: _Scope, is_constant: bool) -> None:
        name = _text(name)
        if name in self._stored_names:
            name = f"{scope.path}{name}"
        if name in self._stored_names:
            name = f"{name}#{value}"
        self._stored_names.add(name)
        self.flow.tensors[value] = StoredTensor(name, proto, is_constant)

    def body(
        self, graph: onnx.GraphProto, scope: _Scope, depth: int, external_inputs: tuple[int, ...] | None
    ) -> tuple[int, ...]:
        """Flatten a graph; its outputs' values. ``external_inputs``: what its inputs are fed from (None: the user)."""
        for tensor in graph.initializer:
            self._store(self._define(tensor.name, scope), tensor, tensor.name, scope, is_constant=False)
        for sparse in graph.sparse_initializer:
            self.flow.sparse[self._define(sparse.values.name, scope)] = _text(sparse.values.name)
        # Before IR version 4 every initialiser is listed among the inputs as well: those are no inputs.
        inputs = tuple(self._define(item.name, scope) for item in graph.input if item.name not in scope.names)
        if external_inputs is not None and inputs:
            self._append(Operator("", f"{scope.path}inputs", external_inputs, inputs))
        self._nodes(graph.node, scope, depth)
        return tuple(self._resolve(item.name, scope, "the output list") for item in graph.output)

    def _nodes(self, nodes: Iterable[onnx.NodeProto], scope: _Scope, depth: int) -> None:
        if depth > MAX_NESTING:
            raise self._error(f"ONNX bodies are nested more than {MAX_NESTING} deep at {scope.path!r}")
        # Names first: nodes may stand in any order, and a cycle is then found as a cycle.
        produced: set[str] = set()
        for node in nodes:
            for name in filter(None, node.output):
                if name in produced or (name in scope.names and name not in scope.awaited):
                    raise self._error(f"the ONNX graph defines {name!r} twice: export the model again", name)
                produced.add(name)
                if name not in scope.names:
                    self._define(name, scope)
        for position, node in enumerate(nodes):
            self._node(node, scope, depth, f"{scope.path}{node.name or f'{node.op_type}_{position}'}")

    def _resolve(self, name: str, scope: _Scope, reader: str) -> int:
        if not name:
            return -1
        value = scope.find(name)
        if value is None:
            raise self._error(f"{reader} reads {name!r}, which nothing in the ONNX graph provides", name)
        return value

    def _node(self, node: onnx.NodeProto, scope: _Scope, depth: int, name: str) -> None:
        self._nodes_seen += 1
        if self._nodes_seen > MAX_OPERATORS:
            raise self._error(f"the ONNX graph unfolds into more than {MAX_OPERATORS} nodes")
        inputs = tuple(self._resolve(item, scope, f"node {name!r} ({node.op_type})") for item in node.input)
        outputs = tuple(scope.names[item] if item else -1 for item in node.output)
        attributes = _attributes(node, scope)
        function = self._functions.get((node.domain, node.op_type, node.overload))
        if function is not None:
            self._call(function, inputs, outputs, attributes, name, depth)
            return
        if node.op_type == "Constant" and node.domain in _STANDARD_DOMAINS and outputs:
            self._constant(attributes, outputs[0], node.output[0], scope)
        for key, attribute in attributes.items():
            bodies = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs
            for body in bodies:
                inner = _Scope({}, scope, f"{name}.{key}/", scope.arguments)
                inputs += self.body(body, inner, depth + 1, inputs)
        domain = "" if node.domain in _STANDARD_DOMAINS else _text(node.domain)
        self._append(Operator(_text(node.op_type), name, inputs, outputs, attributes, domain))

    def _constant(self, attributes: Mapping[str, onnx.AttributeProto], value: int, name: str, scope: _Scope) -> None:
        if "value" in attributes:
            self._store(value, attributes["value"].t, name, scope, is_constant=True)
        elif "sparse_value" in attributes:
            self.flow.sparse[value] = _text(name)
        elif (proto := _plain_constant(attributes, _text(name))) is not None:
            self._store(value, proto, name, scope, is_constant=True)

    def _call(
        self,
        function: onnx.FunctionProto,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        attributes: Mapping[str, onnx.AttributeProto],
        name: str,
        depth: int,
    ) -> None:
        """Open a local function: formal inputs are the caller's values, formal outputs its outputs."""
        defaults = {_text(attribute.name): attribute for attribute in function.attribute_proto}
        arguments = {**defaults, **attributes}
        names = dict(zip(function.input, inputs, strict=False))
        names.update({formal: -1 for formal in function.input if formal not in names})
        awaited: dict[str, int] = {}
        passed_on: list[tuple[int, int]] = []
        for formal, value in zip(function.output, outputs, strict=False):
            if formal in names:
                passed_on.append((names[formal], value))
            elif value >= 0:
                awaited[formal] = value
        scope = _Scope(names | awaited, None, f"{name}/", arguments, frozenset(awaited))
        self._nodes(function.node, scope, depth + 1)
        for source, value in passed_on:
            self._append(Operator("", f"{name}/output", (source,), (value,)))

    def _append(self, operator: Operator) -> None:
        for value in operator.outputs:
            if value >= 0:
                self.flow.producers[value] = len(self.flow.operators)
        self.flow.operators.append(operator)


def _plain_constant(attributes: Mapping[str, onnx.AttributeProto], name: str) -> onnx.TensorProto | None:
    """The tensor of a Constant that holds numbers in an attribute of its own."""
    if "value_floats" in attributes:
        floats = list(attributes["value_floats"].floats)
        return helper.make_tensor(name, onnx.TensorProto.FLOAT, [len(floats)], floats)
    if "value_ints" in attributes:
        integers = list(attributes["value_ints"].ints)
        return helper.make_tensor(name, onnx.TensorProto.INT64, [len(integers)], integers)
    if "value_float" in attributes:
        return helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [attributes["value_float"].f])
    if "value_int" in attributes:
        return helper.make_tensor(name, onnx.TensorProto.INT64, [], [attributes["value_int"].i])
    return None


def _attributes(node: onnx.NodeProto, scope: _Scope) -> dict[str, onnx.AttributeProto]:
    found: dict[str, onnx.AttributeProto] = {}
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            found[_text(attribute.name)] = attribute
        elif _text(attribute.ref_attr_name) in scope.arguments:
            found[_text(attribute.name)] = scope.arguments[_text(attribute.ref_attr_name)]
    return found


def _text(name: str | bytes) -> str:
    """A name; protobuf hands out one that is not UTF-8 as bytes."""
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
