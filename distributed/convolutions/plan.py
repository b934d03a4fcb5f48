"""The plan that finding makes and extraction follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from distributed.convolutions.layout import AxisOrder
from distributed.graph.facts import BatchNorm

#: Names shown in a note before it only counts.
_SHOWN = 3


def shown(names: Sequence[str]) -> str:
    """A list of names for a note."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


class WeightForm(StrEnum):
    """How a checkpoint stores one weight. In brackets: the parts, in order."""

    PLAIN = "plain"  # (weight)
    WEIGHT_NORM = "weight_norm"  # (g, v), arXiv 1602.07868
    SPECTRAL_NORM = "spectral_norm"  # (original weight, u, v), arXiv 1802.05957
    ITERATED_SPECTRAL_NORM = "iterated_spectral_norm"  # (original weight, u, singular value), arXiv 1809.11096
    PRUNED = "pruned"  # (original weight, mask)
    SCALED = "scaled"  # (8-bit weight, scale) or (8-bit weight, scale, zero point)
    DEQUANTISED = "dequantised"  # (weight): integers in the file, read as the floats that they stand for


@dataclass(frozen=True, slots=True)
class Convolution:
    """One learned 2-D convolution.

    Attributes:
        name: parameter name of the weight, as the module (and the graph) calls it.
        shape: (out, in/groups, kh, kw), also of a transposed convolution.
        dtype: stored, in torch's words.
        parts: checkpoint tensors that ``materialise`` needs, in the order of ``form``.
        form: how the parts make the weight.
        groups: None where nothing tells.
        is_depthwise: one input channel per group and more than one group; None where groups would have to be known.
        is_transposed: None where nothing tells.
        order: how the parts hold the axes.
        norm: the batch norm that is to be folded into it.
    """

    name: str
    shape: tuple[int, int, int, int]
    dtype: str
    parts: tuple[str, ...]
    form: WeightForm = WeightForm.PLAIN
    groups: int | None = None
    is_depthwise: bool | None = None
    is_transposed: bool | None = None
    order: AxisOrder = AxisOrder.OIHW
    norm: BatchNorm | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Checkpoint tensors that its filters are made from."""
        norm = self.norm
        return self.parts if norm is None else (*self.parts, norm.variance, *([norm.scale] if norm.scale else []))

    @property
    def num_kernels(self) -> int:
        """2-D kernels: out · in/groups."""
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True, slots=True)
class ConvolutionPlan:
    """Everything that finding says of one checkpoint.

    Attributes:
        convolutions: every learned 2-D convolution, 1x1 included, in the order of the entries.
        num_parameters: elements of all entries that are parameters (not statistics, counters, masks, fixed kernels).
        remarks: what was left out and why, one sentence each.
        told_by_shape: names of convolutions whose names do not say that they are.
    """

    convolutions: tuple[Convolution, ...]
    num_parameters: int
    remarks: tuple[str, ...]
    told_by_shape: frozenset[str] = frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the model: the remarks, and what is taken by its shape alone."""
        names = [convolution.name for convolution in self.convolutions if convolution.name in self.told_by_shape]
        taken = f"took {shown(names)} for convolution weights by their shape; their names do not say so"
        return (taken, *self.remarks) if names else self.remarks

    def without(self, left_out: Sequence[Convolution], reason: str) -> ConvolutionPlan:
        """The plan without some of its convolutions, which turned out to be no parameters."""
        names = {convolution.name for convolution in left_out}
        return ConvolutionPlan(
            tuple(convolution for convolution in self.convolutions if convolution.name not in names),
            self.num_parameters - sum(math.prod(convolution.shape) for convolution in left_out),
            (*self.remarks, f"left out {shown([convolution.name for convolution in left_out])}: {reason}"),
            self.told_by_shape,
        )

    @property
    def kernel_shapes(self) -> Mapping[str, int]:
        """``"3x3"`` → number of 2-D kernels of that size."""
        counts: dict[str, int] = {}
        for convolution in self.convolutions:
            key = f"{convolution.shape[2]}x{convolution.shape[3]}"
            counts[key] = counts.get(key, 0) + convolution.num_kernels
        return counts

    @property
    def total_filters(self) -> int:
        """2-D kernels of every size above 1x1."""
        return sum(c.num_kernels for c in self.convolutions if c.shape[2:] != (1, 1))
