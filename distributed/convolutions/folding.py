"""Batch norm folded into the convolution before it, as exports in evaluation mode do it.

Each output channel of the weight is multiplied by scale / √(variance + eps) (Jacob et al., arXiv 1712.05877, eq. 14).
Which batch norm follows a convolution a graph says, traced or of an ONNX file, which may hold it folded already; of a
bare state dict names do, where only one reading of them is possible. Everything else keeps its plain weight, and a note
says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distributed.convolutions.plan import Convolution, ConvolutionPlan, shown
from distributed.formats.base import TensorEntry
from distributed.graph.facts import BatchNorm, GraphFacts
from distributed.values import Values, as_float32

#: torch's default, for a batch norm that is known by its tensors alone.
DEFAULT_EPS = 1e-5

_VARIANCE = "running_var"
_WORDS = re.compile(r"conv(olution)?(2d)?|batch_?norm(2d)?|norm|bn", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


def with_norms(
    plan: ConvolutionPlan, entries: Sequence[TensorEntry], graph: GraphFacts | None, *, order_known: bool
) -> ConvolutionPlan:
    """The plan with the batch norm of each convolution that has one, and remarks on those that are told otherwise.

    Args:
        plan: of a checkpoint.
        entries: its tensors.
        graph: facts by weight name; None where the architecture is not known.
        order_known: whether the entries are in the order of definition.
    """
    by_name = {entry.name: entry for entry in entries}
    if graph is not None:
        found = {c.name: graph.norms[c.name] for c in plan.convolutions if c.name in graph.norms}
        why_not = "their uses are followed by different ones"
    else:
        found = _by_names(plan.convolutions, entries, order_known)
        why_not = "names do not say which one follows"
    astray = [c.name for c in plan.convolutions if (n := found.get(c.name)) and not _fits(n, c, by_name)]
    if astray and graph is None:
        # A norm as wide as what the convolution reads stands before it, and so may all of this network's.
        found, astray = dict.fromkeys(found), []
    convolutions = [replace(c, norm=None if c.name in astray else found.get(c.name)) for c in plan.convolutions]
    unclear = [c.name for c in plan.convolutions if c.name in found and found[c.name] is None]
    folded = sum(c.norm is not None for c in convolutions)
    remarks = [f"folded: batch norm into {folded} of {len(convolutions)} convolutions"]
    if graph is None and folded:
        remarks.append(f"folded: batch norms are told by names, eps is torch's default, {DEFAULT_EPS}")
    if unclear:
        remarks.append(f"folded: plain weights of {shown(unclear)}: there are batch norms, but {why_not}")
    if astray:
        remarks.append(f"folded: plain weights of {shown(astray)}: the checkpoint does not hold their batch norms")
    return replace(plan, convolutions=tuple(convolutions), remarks=(*plan.remarks, *remarks))


def fold(weight: NDArray[np.float32], norm: BatchNorm | None, tensors: Mapping[str, Values]) -> NDArray[np.float32]:
    """The weight (out, in/groups, kh, kw) with ``norm`` folded into it: in float64, rounded once.

    Args:
        weight: as ``materialise`` gives it.
        norm: None leaves it as it is.
        tensors: at least the norm's.
    """
    if norm is None:
        return weight
    factors = 1.0 / np.sqrt(as_float32(tensors[norm.variance]).astype(np.float64) + (norm.eps or DEFAULT_EPS))
    if norm.scale is not None:
        factors *= as_float32(tensors[norm.scale]).astype(np.float64)
    return (weight * factors[:, None, None, None]).astype(np.float32)


def _fits(norm: BatchNorm, convolution: Convolution, by_name: Mapping[str, TensorEntry]) -> bool:
    names = [norm.variance, *([norm.scale] if norm.scale else [])]
    return all(name in by_name and by_name[name].shape == convolution.shape[:1] for name in names)


def _by_names(
    convolutions: Sequence[Convolution], entries: Sequence[TensorEntry], order_known: bool
) -> dict[str, BatchNorm | None]:
    """The batch norm of each convolution; None where there are some that may be meant, but not one alone."""
    modules = list(dict.fromkeys(entry.name.rpartition(".")[0] for entry in entries))
    place = {module: number for number, module in enumerate(modules)}
    names = {entry.name for entry in entries}
    norms = {module for module in modules if f"{module}.{_VARIANCE}" in names}
    own = {c.name.rpartition(".")[0]: c for c in convolutions}
    meant: dict[str, list[str]] = {}
    for module in own:
        meant[module] = [norm for norm in norms if _parent(norm) == _parent(module) and _is_named_after(norm, module)]
    if order_known:
        for module in own:
            after = modules[place[module] + 1] if place[module] + 1 < len(modules) else ""
            # Defined right behind it, by whatever word, unless numbers contradict: conv_dw, bn1.
            if after in norms and _parent(after) == _parent(module) and not _contradict(module, after):
                meant[module] = [after]
            # A norm that is defined first (bn1, conv1, bn2, conv2) is read first: what follows is not told.
            elif any(place[norm] < place[module] for norm in meant[module]):
                meant[module] = [*meant[module], ""]
    claimed = [norm for candidates in meant.values() for norm in candidates]
    found: dict[str, BatchNorm | None] = {}
    for module, candidates in meant.items():
        beside = any(_parent(norm) == _parent(module) for norm in norms)
        if len(candidates) == 1 and claimed.count(candidates[0]) == 1:
            norm = candidates[0]
            scale = f"{norm}.weight" if f"{norm}.weight" in names else None
            found[own[module].name] = BatchNorm(f"{norm}.{_VARIANCE}", scale, None)
        elif candidates or beside:
            found[own[module].name] = None
    return found


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def _leaf(module: str) -> str:
    return module.rpartition(".")[2]


def _is_named_after(norm: str, module: str) -> bool:
    """Whether only one reading of the names is possible: ``conv2``, ``bn2``; ``0``, ``1`` of one sequence."""
    first, second = _leaf(module), _leaf(norm)
    if first.isdigit() and second.isdigit():
        return int(second) == int(first) + 1
    return _WORDS.sub("", first) == _WORDS.sub("", second) and bool(_WORDS.search(first))


def _contradict(module: str, norm: str) -> bool:
    first, second = _leaf(module), _leaf(norm)
    if first.isdigit() and second.isdigit():
        return int(second) != int(first) + 1
    numbers = _NUMBER.findall(_WORDS.sub("", first)), _NUMBER.findall(_WORDS.sub("", second))
    return bool(numbers[0]) and numbers[0] != numbers[1]
