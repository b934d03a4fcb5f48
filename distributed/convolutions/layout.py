"""In which order a file keeps the axes of its convolution weights: torch's, MLX's, or TensorFlow's.

A header may say what wrote the file; the shapes must agree, and mostly tell by themselves: under a wrong order kernels
come out as 3x64. Where shapes fit several orders the channels do: what a layer reads, another one makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]

#: Square kernels up to this size are taken for kernels; larger ones (31 is the largest published) for channels.
_LARGEST = 31
#: Odd square kernels up to this size are what nearly every network consists of.
_LARGEST_USUAL = 11
#: Channels of images: grey, colour, with an alpha or depth channel.
_IMAGE_CHANNELS = frozenset({1, 3, 4})
#: So many weights that fit no kernel under torch's order need no further evidence.
_ENOUGH = 2
#: A file of torch's order may hold a few 4-D tensors that are no weights: one in so many is overlooked.
_OVERLOOKED = 10


class AxisOrder(StrEnum):
    """How a 4-D (or 5-D) tensor holds a weight; o out channels, i in channels per group, h, w kernel."""

    OIHW = "oihw"  # torch, ONNX
    OHWI = "ohwi"  # MLX
    HWIO = "hwio"  # TensorFlow, Keras, Flax
    HWIM = "hwim"  # depthwise in Keras and TensorFlow: in channels, multiplier
    ONE_OIHW = "1oihw"  # StyleGAN2's modulated convolutions: a leading axis for the batch


#: What a safetensors header's ``format`` says → the order of that framework; ``np`` and unknown words say nothing.
_OF_FRAMEWORK: Mapping[str, AxisOrder] = {
    "pt": AxisOrder.OIHW,
    "mlx": AxisOrder.OHWI,
    "tf": AxisOrder.HWIO,
    "flax": AxisOrder.HWIO,
    "jax": AxisOrder.HWIO,
    "keras": AxisOrder.HWIO,
}

#: Position of out, in, height and width in each order of a whole file.
_AXES: Mapping[AxisOrder, tuple[int, int, int, int]] = {
    AxisOrder.OIHW: (0, 1, 2, 3),
    AxisOrder.OHWI: (0, 3, 1, 2),
    AxisOrder.HWIO: (3, 2, 0, 1),
}

_IN_WORDS: Mapping[AxisOrder, str] = {
    AxisOrder.OIHW: "(out, in, kh, kw)",
    AxisOrder.OHWI: "(out, kh, kw, in)",
    AxisOrder.HWIO: "(kh, kw, in, out)",
}


class AxisOrderError(Exception):
    """The order of a file's weights is mixed or cannot be told. The text lacks its subject, the file."""


@dataclass(frozen=True, slots=True)
class FileOrder:
    """The order of all weights of one file, and what is to be said about it."""

    order: AxisOrder
    notes: tuple[str, ...] = ()


def order_of_file(shapes: Sequence[Shape], framework: str | None) -> FileOrder:
    """The order in which a file keeps its weights.

    Args:
        shapes: of the 4-D tensors that are named like weights.
        framework: what the file's header says wrote it, if it says so.

    Raises:
        AxisOrderError: the shapes fit no one order, or several, and nothing decides.
    """
    if not shapes:
        return FileOrder(AxisOrder.OIHW)
    declared = _OF_FRAMEWORK.get((framework or "").lower(), AxisOrder.OIHW)
    against = {order: sum(speaks_against(shape, order) for shape in shapes) for order in _AXES}
    if not against[AxisOrder.OIHW]:
        if against[declared]:
            shown = _IN_WORDS[AxisOrder.OIHW]
            return FileOrder(
                AxisOrder.OIHW, (f"the header says {framework}, but the shapes of the weights are {shown}",)
            )
        if declared is not AxisOrder.OIHW:
            return _in(declared, f"the header says {framework}")
        if _is_pointwise_mlx(shapes):
            return _in(AxisOrder.OHWI, "told by the shapes")
        return FileOrder(AxisOrder.OIHW)
    fitting = [order for order in _AXES if not against[order]]
    if not fitting:
        usual = sum(_is_usual(shape, AxisOrder.OIHW) for shape in shapes)
        if against[AxisOrder.OIHW] * _OVERLOOKED <= usual:
            return FileOrder(AxisOrder.OIHW)
        raise AxisOrderError("holds convolution weights in several orders of axes: convert it to one, torch's or MLX's")
    if declared in fitting:
        return _in(declared, f"the header says {framework}")
    chained = [order for order in fitting if _chains(shapes, order)]
    if len(fitting) == 1 and (chained or against[AxisOrder.OIHW] >= _ENOUGH):
        return _in(fitting[0], "told by the shapes")
    if len(chained) == 1:
        return _in(chained[0], "told by the channels")
    words = " or ".join(_IN_WORDS[order] for order in fitting)
    raise AxisOrderError(
        f"keeps its convolution weights as {words}, which cannot be told: name the framework in the header's format"
    )


def order_of_tensor(name: str, shape: Shape, file: AxisOrder) -> AxisOrder:
    """The order of one weight in a file of a known order: depthwise ones of Keras and TensorFlow have their own."""
    leaf = name.replace("/", ".").lower()
    if file is AxisOrder.HWIO and ("depthwise_kernel" in leaf or "depthwise_weights" in leaf):
        return AxisOrder.HWIM
    if file is AxisOrder.HWIO and shape[3] == 1 and "depthwise" in leaf:
        return AxisOrder.HWIM
    return file


def torch_shape(shape: Shape, order: AxisOrder) -> Shape:
    """(out, in, kh, kw) of a tensor that is kept in ``order``."""
    if order is AxisOrder.ONE_OIHW:
        return shape[1:]
    if order is AxisOrder.HWIM:
        return shape[2] * shape[3], 1, shape[0], shape[1]
    return tuple(shape[axis] for axis in _AXES[order])


def in_torch_order(weight: NDArray[np.float32], order: AxisOrder) -> NDArray[np.float32]:
    """A weight kept in ``order`` as (out, in, kh, kw)."""
    if order is AxisOrder.ONE_OIHW:
        return weight.squeeze(axis=0)
    if order is AxisOrder.HWIM:
        # Output channel c · multiplier + m reads input channel c alone.
        return weight.transpose(2, 3, 0, 1).reshape(torch_shape(weight.shape, order))
    return weight.transpose(_AXES[order])


def _in(order: AxisOrder, why: str) -> FileOrder:
    return FileOrder(order, (f"weights are kept as {_IN_WORDS[order]} ({why}), read as {_IN_WORDS[AxisOrder.OIHW]}",))


def _kernel(shape: Shape, order: AxisOrder) -> tuple[int, int]:
    _, _, height, width = _AXES[order]
    return shape[height], shape[width]


def _is_usual(shape: Shape, order: AxisOrder) -> bool:
    """Whether the kernel is one of 3x3, 5x5, … 11x11 under an order."""
    height, width = _kernel(shape, order)
    return height == width and height % 2 == 1 and 3 <= height <= _LARGEST_USUAL


def _fits(shape: Shape, order: AxisOrder) -> bool:
    """Whether the kernel can be one under an order: square, or a factor of one (1x7)."""
    height, width = _kernel(shape, order)
    if height == width:
        return 1 <= height <= _LARGEST
    return min(height, width) == 1 and max(height, width) % 2 == 1 and max(height, width) <= _LARGEST


def speaks_against(shape: Shape, order: AxisOrder) -> bool:
    """Whether a weight has a usual kernel under some order, and none at all under this one."""
    return not _fits(shape, order) and any(_is_usual(shape, other) for other in _AXES)


def _chains(shapes: Sequence[Shape], order: AxisOrder) -> bool:
    """Whether every weight with a usual kernel reads an image, or channels that another one makes."""
    out_axis, in_axis, _, _ = _AXES[order]
    made = {shape[out_axis] for shape in shapes} | _IMAGE_CHANNELS
    return all(shape[in_axis] in made for shape in shapes if _is_usual(shape, order))


def _is_pointwise_mlx(shapes: Sequence[Shape]) -> bool:
    """Whether it is MLX's order of a network of depthwise and 1x1 convolutions: 3x1 and 1x64 under torch's.

    Under the right order all kernels are odd squares, some larger than 1x1; under torch's several are no kernels.
    """
    order = AxisOrder.OHWI
    are_squares = all(_is_odd_square(shape, order) for shape in shapes)
    no_kernels = sum(not _fits(shape, AxisOrder.OIHW) for shape in shapes)
    return are_squares and any(_is_usual(shape, order) for shape in shapes) and no_kernels >= _ENOUGH


def _is_odd_square(shape: Shape, order: AxisOrder) -> bool:
    height, width = _kernel(shape, order)
    return height == width and height % 2 == 1 and height <= _LARGEST
