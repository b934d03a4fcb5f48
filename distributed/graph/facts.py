"""Facts about a model's data flow, whichever way they were found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
class GraphFacts:
    """Everything a graph tells.

    Attributes:
        method: ``traced`` or ``onnx``.
        convolutions: weight name → facts, for every 2-D convolution with a learned weight. A weight with several
            names (tied copies, reparametrised weights) is listed under each of them, with equal facts.
        op_counts: operator name → how often it occurs.
        aliases: further name → first name, for the weights of ``convolutions`` that have several. A checkpoint that
            holds both names holds one layer twice.
    """

    method: DepthMethod
    convolutions: Mapping[str, ConvolutionFacts]
    op_counts: Mapping[str, int]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def without(self, leaves: Callable[[str], bool]) -> GraphFacts:
        """The facts without the weights of these names; depths stay as they are."""
        return replace(self, convolutions={n: facts for n, facts in self.convolutions.items() if not leaves(n)})
