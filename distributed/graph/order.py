"""Depth without a graph: the position of a convolution in its checkpoint.

A state dict lists modules in the order of their definition, which follows the data flow closely (Kendall tau .99 over
timm's architectures); parallel branches come one after the other instead of sharing a depth. Where a file has lost that
order (safetensors headers are sorted by size and name), the names still tell most of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from distributed.graph.name_order import flow_order


def order_depths(names: Sequence[str], shapes: Sequence[Sequence[int]], order_known: bool) -> dict[str, int]:
    """Depth of each 2-D convolution by its position, 0 for the first.

    Args:
        names: a checkpoint's tensors in its order.
        shapes: their shapes. Four-dimensional tensors are taken for the weights (out, in/groups, height, width) of
            2-D convolutions of any kernel size; the caller leaves out those that it knows to be something else.
        order_known: whether ``names`` are in order of definition. If not, they are ordered by what they say of the
            data flow, and the layer that reads the image, with its siblings, is put first.

    Returns:
        name → depth, for the four-dimensional tensors only, in order of depth.
    """
    convolutions = {name: tuple(shape) for name, shape in zip(names, shapes, strict=True) if len(shape) == 4}
    ordered = list(convolutions) if order_known else _by_name(convolutions)
    return {name: depth for depth, name in enumerate(ordered)}


def _by_name(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    ordered = flow_order(shapes)
    stem = _image_layer(ordered, shapes)
    if stem is None:
        return ordered
    # The whole stem moves with its first layer: stem.conv1, stem.conv2 … stand before blocks.0.
    top = stem.split(".")[0]
    first = [name for name in ordered if name.split(".")[0] == top]
    return [stem, *(name for name in first if name != stem), *(name for name in ordered if name.split(".")[0] != top)]


def _image_layer(ordered: Sequence[str], shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The first layer by name that reads three channels (colour), else the only one that reads one channel (grey).

    Several layers with one input channel are depthwise convolutions, any of which may be the stem or none.
    """
    colour = [name for name in ordered if shapes[name][1] == 3]
    grey = [name for name in ordered if shapes[name][1] == 1]
    if colour:
        return colour[0]
    return grey[0] if len(grey) == 1 else None
