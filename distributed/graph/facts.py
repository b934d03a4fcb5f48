"""Facts about a model's data flow, whichever way they were found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class DepthMethod(StrEnum):
    """How a layer's depth is known (column ``depth_method``)."""

    TRACED = "traced"
    ONNX = "onnx"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class ConvolutionFacts:
    """What a graph says of the convolutions that use one weight.

    Attributes:
        depth: number of 2-D convolutions (1x1 included) on the longest data-flow path below it; 0 for a stem. With
            method ``onnx`` the rank of its level among the levels that hold 2-D convolutions, which counts those of
            parallel branches as well. Of a weight used several times, the smallest.
        groups: of the convolution.
        transposed: whether it is a transposed convolution.
    """

    depth: int
    groups: int
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """A batch norm in evaluation mode: its output is (x - mean) · scale / √(variance + eps) + shift.

    Attributes:
        variance: name of the running variance.
        scale: name of the learned scale (gamma); None where there is none, which is 1.
        eps: None where nothing tells.
    """

    variance: str
    scale: str | None
    eps: float | None


def norms_by_weight(uses: Iterable[tuple[str, BatchNorm | None]]) -> dict[str, BatchNorm | None]:
    """``GraphFacts.norms`` from each use of each weight, by name: what follows there."""
    found: dict[str, set[BatchNorm | None]] = {}
    for name, norm in uses:
        found.setdefault(name, set()).add(norm)
    return {name: norms.pop() if len(norms) == 1 else None for name, norms in found.items() if norms != {None}}


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Everything a graph tells.

    Attributes:
        method: ``traced`` or ``onnx``.
        convolutions: weight name → facts, for every 2-D convolution with a learned weight. A weight with several
            names (tied copies, reparametrised weights) is listed under each of them, with equal facts.
        op_counts: operator name → how often it occurs.
        aliases: further name → first name, for the weights of ``convolutions`` that have several. A checkpoint that
            holds both names holds one layer twice.
        norms: weight name → the batch norm that alone reads what the convolution gives, in every use of the weight;
            None where the uses differ. Weights that no batch norm follows are not in it.
    """

    method: DepthMethod
    convolutions: Mapping[str, ConvolutionFacts]
    op_counts: Mapping[str, int]
    aliases: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, BatchNorm | None] = field(default_factory=dict)

    def without(self, leaves: Callable[[str], bool]) -> GraphFacts:
        """The facts without the weights of these names; depths stay as they are."""
        return replace(self, convolutions={n: facts for n, facts in self.convolutions.items() if not leaves(n)})
