"""What the columns of a published frame mean for the store. The same table serves import and export."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

MODEL_ID, DEPTH, DEPTH_NORM, LAYER_ID = "model_id", "conv_depth", "conv_depth_norm", "layer_id"
FILTER_IDS = "filter_ids"

#: The frame's index.
INDEX = (MODEL_ID, DEPTH, DEPTH_NORM, LAYER_ID)

#: The model's unique name.
MODEL = "model"

#: Key among a model's attributes: its ``model_id`` in the file.
ORIGINAL_ID = "original_model_id"

#: Column of ``models`` → columns of the frame that say it, the first that has a value. Those in lower case are written
#: by our own export alone.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "library": ("library", "Framework"),
    "architecture": ("architecture", "Backbone", "Name"),
    "family": ("family",),
    "task": ("Task",),
    "visual_category": ("Visual Category", "Datatype"),  # v0.1 says Datatype
    "training_dataset": ("Training-Dataset",),
    "pretraining_dataset": ("Pretraining-Dataset",),
    "license": ("license",),
    "paper": ("Paper",),
    "recipe": ("recipe",),
    "resolution": ("resolution",),
}

TOTAL_FILTERS, SHARE_3X3 = "total_filters", "3x3_filter_share"

#: Counts of ``models`` that no published file has; our own export writes them.
OWN_COUNTS = ("num_parameters", "num_conv_layers")

IN_CHANNELS, OUT_CHANNELS = "in_channels", "out_channels"

#: Column of ``layers`` → column of the frame, of what only a single convolution has beside its channels. Of our own
#: export alone.
OF_LAYERS: Mapping[str, str] = {
    "name": "layer_name",
    "groups": "groups",
    "is_depthwise": "is_depthwise",
    "is_transposed": "is_transposed",
    "depth_method": "depth_method",
    "dtype": "layer_dtype",
}

#: Before operators that are not ONNX's own (of a traced model), in columns of our own export.
_OPERATOR = "operator "

_KERNEL = re.compile(r"\((\d+), ?(\d+)\) filters")


def kernel_of(column: str) -> str | None:
    """``3x3`` of ``(3, 3) filters``; None of another column."""
    found = _KERNEL.fullmatch(column)
    return f"{found[1]}x{found[2]}" if found else None


def operator_of(column: str) -> str | None:
    """The operator whose number a column says; None of another column."""
    return column if column in _onnx_operators() else column[len(_OPERATOR) :] if column.startswith(_OPERATOR) else None


def operator_column(name: str) -> str:
    """Where the number of an operator stands."""
    return name if name in _onnx_operators() else _OPERATOR + name


@cache
def _onnx_operators() -> frozenset[str]:
    """Names of all operators that ONNX has or had."""
    import onnx

    known: Iterable[Any] = onnx.defs.get_all_schemas_with_history()
    return frozenset(schema.name for schema in known if not schema.domain)


def kernel_column(shape: str) -> str:
    """``(3, 3) filters`` of ``3x3``."""
    height, _, width = shape.partition("x")
    return f"({height}, {width}) filters"
