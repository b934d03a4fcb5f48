"""One model of a published corpus as its listing knows it: where its filters are, and what the frame says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: ``depth_method`` where the file says no other: its authors measured it in the ONNX graph.
DEPTH_METHOD = "published"


@dataclass(frozen=True, slots=True)
class PublishedLayer:
    """One row of the frame: a convolution, or without ``channels`` all convolutions of one depth together.

    Attributes:
        name: what the store calls it.
        start, stop: its rows of the filters.
        depth, depth_norm: as published.
        channels: (out, in per group) of a single convolution.
        groups, is_depthwise, is_transposed: where the file says so.
        depth_method: how the depth is known.
        dtype: of the weights before they came into the file, where it says so.
    """

    name: str
    start: int
    stop: int
    depth: int
    depth_norm: float
    channels: tuple[int, int] | None = None
    groups: int | None = None
    is_depthwise: bool | None = None
    is_transposed: bool | None = None
    depth_method: str = DEPTH_METHOD
    dtype: str | None = None

    @property
    def filters(self) -> int:
        """Number of its filters."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """One ``model_id`` of the frame. Counts that the file lacks are None.

    Attributes:
        original_id: the ``model_id``.
        layers: in order of depth.
        num_parameters, total_filters, share_3x3, num_conv_layers: columns of ``models``.
        kernel_shapes: "3x3" → 2-D kernels.
        op_counts: operators of the graph.
        notes: what was not kept, and why.
    """

    original_id: str
    layers: tuple[PublishedLayer, ...]
    num_parameters: int | None
    total_filters: int | None
    share_3x3: float | None
    num_conv_layers: int | None
    kernel_shapes: Mapping[str, int]
    op_counts: Mapping[str, int] | None
    notes: tuple[str, ...]

    @property
    def filters(self) -> int:
        """Number of its filters."""
        return sum(layer.filters for layer in self.layers)
