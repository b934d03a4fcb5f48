"""Which ONNX operators are convolutions, where their weights are, and in which order those lie.

Of the standard domain Conv, ConvTranspose and DeformConv; of ONNX Runtime's (com.microsoft) FusedConv, a Conv with its
activation. ONNX Runtime's optimised files also hold convolutions on images in NHWC, whose weights some writers turn to
(out, kh, kw, in) and others leave, and blocked ones (com.microsoft.nchwc), whose 4-D shape says nothing of the order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from distributed.graph.onnx_flow import OnnxFlow, Operator, StoredTensor
from distributed.graph.onnx_folding import ConstantFolder, Folded, Held, NotConstantError, permuted

#: Convolutions on floats → position of the weight among the inputs; its order is (out, in/group, kh, kw).
_PLAIN: Final = {
    ("", "Conv"): 1,
    ("", "ConvTranspose"): 1,
    ("", "DeformConv"): 1,
    ("", "FusedConv"): 1,
    ("com.microsoft", "FusedConv"): 1,
    ("com.microsoft", "ConvTransposeWithDynamicPads"): 1,
}

#: Convolutions on integers → positions of weight, scale (None: not at the node) and zero point.
_QUANTISED: Final[Mapping[tuple[str, str], tuple[int, int | None, int]]] = {
    ("", "QLinearConv"): (3, 4, 5),
    ("com.microsoft", "QLinearConv"): (3, 4, 5),
    ("", "ConvInteger"): (1, None, 3),
}

#: Convolutions on images in NHWC: the weight's order follows from the attribute kernel_shape, or is not known.
_NHWC: Final = frozenset(
    {
        ("com.microsoft", "NhwcConv"),
        ("com.microsoft", "NhwcFusedConv"),
        ("com.ms.internal.nhwc", "Conv"),
        ("com.ms.internal.nhwc", "FusedConv"),
    }
)

#: Operators of other domains that convolve, by their names; MMDeploy's and other exporters' deformable ones are known.
_FOREIGN = re.compile(r"conv(?!er|ex|en)", re.IGNORECASE)
_DEFORMABLE = re.compile(r"deform\w*conv|^dcn", re.IGNORECASE)

#: Nodes from a ConvInteger to the product with its scales: the bias, a Cast, the product.
_MAX_STEPS = 8


@dataclass(frozen=True, slots=True)
class ConvolutionWeight:
    """The weight of one convolution.

    Attributes:
        folded: the constant that the operator reads.
        axes: permutation from its order to (out, in/group, kh, kw), or (in, out/group, kh, kw) if transposed; None: it
            lies so.
    """

    folded: Folded
    axes: tuple[int, ...] | None = None

    @property
    def key(self) -> object:
        """Equal for equal weights of one graph."""
        return self.folded.key, self.axes

    @property
    def is_stored(self) -> bool:
        """Whether it is a tensor of the file as that is."""
        return self.folded.is_stored and self.axes is None

    @property
    def principal(self) -> StoredTensor:
        """The stored tensor that gives it its name."""
        return self.folded.principal

    @property
    def held(self) -> Held:
        """Values, or what is known of them, in torch's order."""
        return self.folded.held if self.axes is None else permuted(self.folded.held, self.axes)


def is_convolution(operator: Operator) -> bool:
    """Whether an operator convolves, of whatever rank and domain."""
    key = (operator.domain, operator.op_type)
    return (
        key in _PLAIN
        or key in _QUANTISED
        or key in _NHWC
        or bool(operator.domain and _FOREIGN.search(operator.op_type))
    )


def is_transposed(operator: Operator) -> bool:
    """Whether a known convolution is a transposed one."""
    return operator.op_type in ("ConvTranspose", "ConvTransposeWithDynamicPads")


def groups_of(operator: Operator) -> int:
    """Groups of a known convolution; MMDeploy's operators write the attribute in torch's way."""
    return operator.integer("group", operator.integer("groups", 1))


def rank_of(operator: Operator, folder: ConstantFolder) -> int | None:
    """Rank of a convolution's weight; None where nothing tells."""
    try:
        return folder.fold(_weight_input(operator, folder)).held.ndim
    except NotConstantError:
        # The weight is not in the file: the kernel's rank is, where the exporter wrote the attribute.
        kernel = operator.integers("kernel_shape")
        return None if kernel is None else len(kernel) + 2


def weight_of(operator: Operator, folder: ConstantFolder, readers: Readers) -> ConvolutionWeight:
    """The weight of a 2-D convolution.

    Raises:
        NotConstantError: it is not in the file, or its order or its scale is not known.
    """
    key = (operator.domain, operator.op_type)
    if key in _QUANTISED:
        weight, scale, zero_point = _QUANTISED[key]
        scales = _input(operator, scale) if scale is not None else readers.scale_behind(operator, folder)
        values = (_input(operator, weight), scales, _input(operator, zero_point))
        return ConvolutionWeight(folder.dequantised(*values, axis=0))
    if key not in _PLAIN and key not in _NHWC and not _DEFORMABLE.search(operator.op_type):
        raise NotConstantError(f"of {operator.domain}.{operator.op_type}, whose order of weights is not known")
    folded = folder.fold(_weight_input(operator, folder))
    if not folded.is_scaled:
        raise NotConstantError(f"with a weight stored as {folded.principal.type_name}")
    return ConvolutionWeight(folded, _axes(operator, tuple(folded.held.shape)) if key in _NHWC else None)


def _input(operator: Operator, position: int) -> int:
    return operator.inputs[position] if position < len(operator.inputs) else -1


def _weight_input(operator: Operator, folder: ConstantFolder) -> int:
    key = (operator.domain, operator.op_type)
    if key in _QUANTISED:
        return _input(operator, _QUANTISED[key][0])
    if key in _PLAIN or key in _NHWC:
        return _input(operator, _PLAIN.get(key, 1))
    # Each domain has an order of inputs of its own: the weight is the one that is 4-D and in the file.
    for value in operator.inputs:
        try:
            if value >= 0 and folder.fold(value).held.ndim == 4:
                return value
        except NotConstantError:
            continue
    return -1


def _axes(operator: Operator, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """How to permute a weight for images in NHWC to (out, in/group, kh, kw); None: not at all."""
    kernel = operator.integers("kernel_shape")
    as_torch, channels_last = kernel == shape[2:], kernel == shape[1:3]
    if as_torch == channels_last:
        raise NotConstantError(f"of {operator.domain}.{operator.op_type}, whose order of weights is not known")
    return (0, 3, 1, 2) if channels_last else None


class Readers:
    """Which operators read a value."""

    def __init__(self, flow: OnnxFlow) -> None:
        self._flow = flow
        self._of: defaultdict[int, list[Operator]] | None = None

    def _reading(self, value: int) -> Sequence[Operator]:
        if self._of is None:
            self._of = defaultdict(list)
            for operator in self._flow.operators:
                for each in operator.inputs:
                    self._of[each].append(operator)
        return self._of.get(value, ())

    def scale_behind(self, operator: Operator, folder: ConstantFolder) -> int:
        """The scale of a ConvInteger's weight: its output is multiplied by (the image's scale · the weight's).

        As ONNX Runtime's dynamic quantisation writes it: with the bias and a Cast between; the image's scale is data.

        Raises:
            NotConstantError: there is no such product.
        """
        value = operator.outputs[0] if operator.outputs else -1
        for _ in range(_MAX_STEPS):
            following = [each for each in self._reading(value) if each.op_type in ("Cast", "Add", "Mul")]
            if value < 0 or len(following) != 1 or following[0].domain:
                break
            if following[0].op_type == "Mul":
                scales = [each for each in self._factors(following[0], value) if _is_constant(folder, each)]
                if len(scales) == 1:
                    return scales[0]
                break
            value = following[0].outputs[0]
        raise NotConstantError("with a quantised weight (ConvInteger) whose scale is not known")

    def _factors(self, product: Operator, value: int) -> Sequence[int]:
        """What a product's other factor is itself a product of."""
        others = [each for each in product.inputs if each != value]
        if len(others) != 1 or others[0] not in self._flow.producers:
            return ()
        inner = self._flow.operators[self._flow.producers[others[0]]]
        return inner.inputs if inner.op_type == "Mul" and inner.domain == "" else ()


def _is_constant(folder: ConstantFolder, value: int) -> bool:
    try:
        folder.fold(value)
    except NotConstantError:
        return False
    return True
