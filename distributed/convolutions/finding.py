"""Which entries are learned 2-D convolutions (DESIGN §3): by the graph where there is one, else by name and shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distributed.convolutions.evidence import (
    is_fixed_name,
    is_norm_scale,
    is_weight_name,
    transposed_by_evidence,
)
from distributed.convolutions.plan import Convolution, ConvolutionPlan
from distributed.convolutions.unusual_names import weights_by_shape
from distributed.convolutions.weights import FLOATING, StoredWeight, count_parameters, gather_weights
from distributed.formats.base import TensorEntry
from distributed.formats.naming import natural_key
from distributed.graph.facts import ConvolutionFacts, GraphFacts

#: Names shown in a note before it only counts.
_SHOWN = 3


def find_convolutions(
    entries: Sequence[TensorEntry],
    graph: GraphFacts | None,
    *,
    order_known: bool,
    include_transposed: bool = False,
) -> ConvolutionPlan:
    """Plan the learned 2-D convolutions of a checkpoint without reading a weight.

    Args:
        entries: the checkpoint's tensors.
        graph: facts by weight name; None where the architecture is not known.
        order_known: whether the entries are in the order of definition; if not they are taken in natural name order.
        include_transposed: whether transposed convolutions count.

    Raises:
        ValueError: fewer than half of the graph's weights are in the checkpoint: the graph is another model's.
    """
    if not order_known:
        entries = sorted(entries, key=lambda entry: natural_key(entry.name))
    leavings = _Leavings()
    weights = gather_weights(entries)
    unusual = weights_by_shape(weights) if graph is None else frozenset()
    if graph is not None:
        convolutions = _by_graph(weights, graph, include_transposed, leavings)
    else:
        convolutions = _by_evidence(weights, entries, unusual, include_transposed, leavings)
    by_shape = [convolution.name for convolution in convolutions if convolution.name in unusual]
    notes = (
        [f"took {_some(by_shape)} for convolution weights by their shape; their names do not say so"]
        if by_shape
        else []
    )
    fixed = {part for weight in leavings.fixed for part in weight.parts}
    parameters = count_parameters([entry for entry in entries if entry.name not in fixed])
    return ConvolutionPlan(tuple(convolutions), parameters, (*notes, *leavings.notes()))


class _Leavings:
    """What is left out, by reason; becomes one note per reason."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
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

    def notes(self) -> tuple[str, ...]:
        return tuple(f"left out {_some(names)}: {reason}" for reason, names in self._names.items())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


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
    if weight.form is None:
        leavings.add("its parametrization is not known", weight)
    elif weight.dtype not in FLOATING:
        leavings.add(f"quantised or not floating point ({weight.dtype})", weight)
    elif len(weight.shape) != 4:
        leavings.add(f"a {len(weight.shape)}-D tensor, not a plain 2-D convolution weight", weight)
    elif 0 in weight.shape:
        leavings.add(f"zero-size tensor {list(weight.shape)}", weight)
    else:
        return True
    return False


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
    )


def _by_evidence(
    weights: Sequence[StoredWeight],
    entries: Sequence[TensorEntry],
    unusual: frozenset[str],
    include_transposed: bool,
    leavings: _Leavings,
) -> list[Convolution]:
    by_name = {entry.name: entry for entry in entries}
    found: list[Convolution] = []
    for weight in weights:
        convolution = _judge(weight, by_name, unusual, leavings)
        if convolution is None:
            continue
        if convolution.is_transposed and not include_transposed:
            leavings.add("a transposed convolution (extract.include_transposed=true takes it)", weight)
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
    if is_fixed_name(weight.name) and not is_unusual:
        leavings.add_fixed("named like a fixed kernel, not learned", weight)
        return None
    if not is_unusual and not is_weight_name(weight.name):
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
    )
