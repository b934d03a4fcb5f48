"""Weights whose names do not say so are taken by their shapes, with a note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distributed.convolutions import ConvolutionPlan, find_convolutions
from distributed.formats import TensorEntry
from tests.distributed.formats.helpers import open_paths

REMARK = "for convolution weights by their shape; their names do not say so"


def find(shapes: dict[str, tuple[int, ...]], dtype: str = "float32") -> ConvolutionPlan:
    return find_convolutions([TensorEntry(name, each, dtype) for name, each in shapes.items()], None, order_known=True)


@pytest.mark.parametrize(
    "names",
    [
        ["conv1/W", "conv2/W"],
        ["stem.kernel", "body.kernel"],
        ["conv1/kernel", "block/conv/kernel"],
        ["conv1.filters", "conv2.filters"],
        ["conv1.weights", "conv2.weights"],
        ["res1_w", "res2_0_branch2a_w"],
        ["conv1_kernel", "conv2_kernel"],
        ["0", "1"],
        ["layers.0", "layers.1"],
    ],
)
def test_by_shape(names: list[str]) -> None:
    plan = find({names[0]: (8, 1, 3, 3), "bias": (8,), names[1]: (16, 8, 3, 3)})
    assert [(c.name, c.shape) for c in plan.convolutions] == [(names[0], (8, 1, 3, 3)), (names[1], (16, 8, 3, 3))]
    assert plan.notes == (f"took {names[0]}, {names[1]} {REMARK}",)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("scale.weights", (8, 8, 1, 1), "int8"),
        ("gain.kernel", (1, 8, 1, 1), "float32"),  # a table as well as a weight, and no other of this word
        ("0", (8, 1, 3, 3), "float32"),
        ("attention.table", (8, 8, 3, 3), "float32"),
        ("0", (8, 8, 3, 5), "float32"),
        ("0", (8, 8, 64, 64), "float32"),
        ("conv.kernel", (3, 3, 8, 8), "float32"),  # the kernel stands first: another layout
        ("0", (8, 8, 3, 3), "int64"),
    ],
)
def test_not_by_shape(name: str, shape: tuple[int, ...], dtype: str) -> None:
    plan = find({name: shape}, dtype)
    assert plan.convolutions == ()
    assert not any(REMARK in note for note in plan.notes)


@pytest.mark.parametrize("others", [{}, {"conv.kernel": (8, 8, 3, 3)}])
def test_a_fixed_kernel_is_told_by_its_values_later(others: dict[str, tuple[int, ...]]) -> None:
    plan = find({"blur.kernel": (8, 1, 3, 3), **others})
    assert [c.name for c in plan.convolutions] == ["blur.kernel", *others]


@pytest.mark.parametrize(
    "tree",
    [
        [torch.ones(8, 3, 3, 3), torch.ones(8), torch.ones(8, 8, 3, 3)],
        {0: torch.ones(8, 3, 3, 3), 1: torch.ones(8), 2: torch.ones(8, 8, 3, 3)},
        {"params": (torch.ones(8, 3, 3, 3), torch.ones(8), torch.ones(8, 8, 3, 3))},
    ],
)
def test_lists_of_tensors(tmp_path: Path, tree: Any) -> None:
    torch.save(tree, tmp_path / "m.pth")
    with open_paths(tmp_path / "m.pth") as checkpoint:
        plan = find_convolutions(checkpoint.entries, None, order_known=True)
    assert [c.shape for c in plan.convolutions] == [(8, 3, 3, 3), (8, 8, 3, 3)]
