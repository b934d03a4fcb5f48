"""Which entries are learned 2-D convolutions (DESIGN §3): by the graph where there is one, else by name and shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distributed.convolutions.evidence import (
    is_fixed_name,
    is_norm_scale,
    is_transposed_name,
    is_weight_name,
    transposed_by_evidence,
)
from distributed.convolutions.layout import AxisOrder
from distributed.convolutions.ordering import in_order
from distributed.convolutions.plan import Convolution, ConvolutionPlan, WeightForm, shown
from distributed.convolutions.stored import StoredWeight
from distributed.convolutions.transposed import turned_by_neighbours
from distributed.convolutions.unusual_names import weights_by_shape
from distributed.convolutions.weights import FLOATING, count_parameters, gather_weights
from distributed.formats.base import TensorEntry
from distributed.formats.naming import natural_key
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts


def find_convolutions(
    entries: Sequence[TensorEntry],
    graph: GraphFacts | None,
    *,
    order_known: bool,
    include_transposed: bool = False,
    include_quantised: bool = False,
    framework: str | None = None,
) -> ConvolutionPlan:
    """Plan the learned 2-D convolutions of a checkpoint without reading a weight.

    Args:
        entries: the checkpoint's tensors.
        graph: facts by weight name; None where the architecture is not known.
        order_known: whether the entries are in the order of definition; if not they are taken in natural name order.
        include_transposed: whether transposed convolutions count.
        include_quantised: whether convolutions of integers count, as the floats that these stand for.
        framework: what the checkpoint says wrote it (``Checkpoint.framework``).

    Raises:
        ValueError: fewer than half of the graph's weights are in the checkpoint: the graph is another model's.
        AxisOrderError: the order in which the weights hold their axes cannot be told.
    """
    if not order_known:
        entries = sorted(entries, key=lambda entry: natural_key(entry.name))
    leavings = _Leavings(include_quantised)
    weights = gather_weights(entries)
    remarks: tuple[str, ...] = ()
    if graph is None or graph.method is not DepthMethod.ONNX:  # an ONNX graph is in ONNX's order
        weights, remarks = in_order(weights, framework)
    unusual = weights_by_shape(weights) if graph is None else frozenset()
    if graph is not None:
        convolutions = _by_graph(weights, graph, include_transposed, leavings)
    else:
        convolutions = _by_evidence(weights, entries, order_known, unusual, include_transposed, leavings)
    fixed = {part for weight in leavings.fixed for part in weight.parts}
    parameters = count_parameters([entry for entry in entries if entry.name not in fixed])
    return ConvolutionPlan(tuple(convolutions), parameters, (*remarks, *leavings.notes()), unusual)


class _Leavings:
    """What is left out, by reason; becomes one note per reason. So does what is taken, but not as it is stored."""

    def __init__(self, include_quantised: bool) -> None:
        self.include_quantised = include_quantised
        self._names: dict[str, list[str]] = {}
        self._taken: dict[str, list[str]] = {}
        self.fixed: list[StoredWeight] = []

    def add(self, reason: str, weight: StoredWeight) -> None:
        self.add_name(reason, weight.name)

    def add_name(self, reason: str, name: str) -> None:
        """Of a weight that the checkpoint does not have."""
        self._names.setdefault(reason, []).append(name)

    def add_fixed(self, reason: str, weight: StoredWeight) -> None:
        """Of something that is not even a parameter."""
        self.fixed.append(weight)
        self.add(reason, weight)

    def take(self, how: str, weight: StoredWeight) -> None:
        """Of a weight that counts."""
        self._taken.setdefault(how, []).append(weight.name)

    def notes(self) -> tuple[str, ...]:
        left_out = [f"left out {shown(names)}: {reason}" for reason, names in self._names.items()]
        return (*left_out, *(f"took {shown(names)}: {how}" for how, names in self._taken.items()))


def _by_graph(
    weights: Sequence[StoredWeight], graph: GraphFacts, include_transposed: bool, leavings: _Leavings
) -> list[Convolution]:
    wanted = graph.convolutions
    found: list[Convolution] = []
    present: set[str] = set()
    for weight in weights:
        # A tracer may know a reparametrised weight by its own name or by that of one of its parts.
        name = next((n for n in (weight.name, *reversed(weight.parts)) if n in wanted), None)
        if name is None:
            # (1, C, 1, 1) scales and the like need no remark: nobody takes them for filters.
            if len(weight.shape) == 4 and weight.shape[2:] != (1, 1):
                note = leavings.add_fixed if is_fixed_name(weight.name) else leavings.add
                note("4-D, but no convolution of the graph uses it as weight", weight)
            continue
        first = graph.aliases.get(name, name)
        if first in present:
            leavings.add_fixed(f"tied to {first}, which counts once", weight)
            continue
        present.add(first)
        if not _is_usable(weight, leavings):
            continue
        facts = wanted[name]
        if facts.transposed and not include_transposed:
            leavings.add("a transposed convolution (extract.include_transposed=true takes it)", weight)
            continue
        if facts.groups < 1 or weight.shape[0] % facts.groups:
            raise ValueError(f"the graph gives {name!r} {facts.groups} groups, its shape is {list(weight.shape)}")
        found.append(_convolution(weight, name, facts))
    distinct = [name for name in wanted if name not in graph.aliases]
    if 2 * len(present) < len(distinct):
        raise ValueError(
            f"the graph is of another model: only {len(present)} of its {len(distinct)} convolution weights are in the "
            f"checkpoint"
        )
    for name in distinct:
        if name not in present:
            leavings.add_name("a convolution of the graph, but the checkpoint has no such weight", name)
    return found


def _is_usable(weight: StoredWeight, leavings: _Leavings) -> bool:
    """Whether a convolution's weight can be materialised as (out, in, kh, kw) float32; notes why not."""
    is_quantised = weight.dtype not in FLOATING
    if weight.form is None:
        leavings.add(weight.problem, weight)
    elif is_quantised and not _has_scale(weight):
        leavings.add(f"quantised or not floating point ({weight.dtype})", weight)
    elif is_quantised and not leavings.include_quantised:
        leavings.add(f"quantised ({weight.dtype}); extract.quantised=true takes what the integers stand for", weight)
    elif len(weight.shape) != 4:
        leavings.add(f"a {len(weight.shape)}-D tensor, not a plain 2-D convolution weight", weight)
    elif 0 in weight.shape:
        leavings.add(f"zero-size tensor {list(weight.shape)}", weight)
    else:
        if is_quantised:
            leavings.take(f"dequantised ({weight.dtype}), not the weights that were trained", weight)
        elif weight.form is WeightForm.SCALED:
            leavings.take(f"{weight.dtype} times the scale beside it", weight)
        return True
    return False


def _has_scale(weight: StoredWeight) -> bool:
    """Whether integers come with what they stand for: in the file, or in the tensor itself (torch's quantised ones)."""
    return weight.form in (WeightForm.SCALED, WeightForm.DEQUANTISED) or weight.dtype.startswith(("qint", "quint"))


def _convolution(weight: StoredWeight, name: str, facts: ConvolutionFacts) -> Convolution:
    first, second, height, width = weight.shape
    out, inner = (second * facts.groups, first // facts.groups) if facts.transposed else (first, second)
    assert weight.form is not None  # _is_usable has seen to it
    return Convolution(
        name=name,
        shape=(out, inner, height, width),
        dtype=weight.dtype,
        parts=weight.parts,
        form=weight.form,
        groups=facts.groups,
        is_depthwise=inner == 1 and facts.groups > 1,
        is_transposed=facts.transposed,
        order=weight.order,
    )


def _by_evidence(
    weights: Sequence[StoredWeight],
    entries: Sequence[TensorEntry],
    order_known: bool,
    unusual: frozenset[str],
    include_transposed: bool,
    leavings: _Leavings,
) -> list[Convolution]:
    by_name = {entry.name: entry for entry in entries}
    judged = [(weight, _judge(weight, by_name, unusual, leavings)) for weight in weights]
    convolutions = [convolution for _, convolution in judged if convolution is not None]
    weight_of = {convolution.name: weight for weight, convolution in judged if convolution is not None}
    found: list[Convolution] = []
    for convolution in turned_by_neighbours(convolutions, entries, order_known):
        if convolution.is_transposed and not include_transposed:
            leavings.add(
                "a transposed convolution (extract.include_transposed=true takes it)", weight_of[convolution.name]
            )
            continue
        found.append(convolution)
    return found


def _judge(
    weight: StoredWeight, by_name: Mapping[str, TensorEntry], unusual: frozenset[str], leavings: _Leavings
) -> Convolution | None:
    if len(weight.shape) == 5 and is_weight_name(weight.name):
        leavings.add("a 3-D convolution or a stack of experts (5-D weight)", weight)
        return None
    if len(weight.shape) != 4:
        return None
    is_unusual = weight.name in unusual
    if not is_unusual and not is_weight_name(weight.name):
        if is_fixed_name(weight.name):
            leavings.add_fixed("named like a fixed kernel and not like a weight", weight)
            return None
        # Tables and scales of one row are common; only what might be taken for filters is worth a word.
        if weight.shape[2:] != (1, 1):
            leavings.add("4-D, but not named like a weight", weight)
        return None
    if is_norm_scale(weight.name, weight.shape):
        return None
    if not _is_usable(weight, leavings):
        return None
    transposed = transposed_by_evidence(weight.name, weight.shape, by_name)
    first, second, height, width = weight.shape
    if weight.order is AxisOrder.OHWI:
        # MLX keeps the outputs of transposed convolutions first as well: a bias tells nothing, only a name does.
        transposed, out, inner = is_transposed_name(weight.name) or None, first, second
    else:
        out, inner = (second, first) if transposed else (first, second)
    assert weight.form is not None  # _is_usable has seen to it
    return Convolution(
        name=weight.name,
        shape=(out, inner, height, width),
        dtype=weight.dtype,
        parts=weight.parts,
        form=weight.form,
        groups=None,
        # One input channel per group: depthwise, or a grey image's first layer. More: certainly not depthwise.
        is_depthwise=None if inner == 1 else False,
        is_transposed=transposed,
        order=weight.order,
    )
