"""Entries, plans, graphs and modules in few words."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distributed.convolutions import ConvolutionPlan, find_convolutions
from distributed.formats import TensorEntry
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts


def entries_of(state: Mapping[str, Tensor]) -> list[TensorEntry]:
    return [TensorEntry(k, tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in state.items()]


def entries(**shapes: tuple[int, ...]) -> list[TensorEntry]:
    return [TensorEntry(name.replace("__", "."), shape, "float32") for name, shape in shapes.items()]


def find(what: Mapping[str, Tensor] | list[TensorEntry], **options: bool) -> ConvolutionPlan:
    listed = what if isinstance(what, list) else entries_of(what)
    return find_convolutions(listed, None, order_known=True, **options)


def graph_of(**convolutions: tuple[int, int] | tuple[int, int, bool]) -> GraphFacts:
    facts = {name.replace("__", "."): ConvolutionFacts(*values) for name, values in convolutions.items()}
    return GraphFacts(DepthMethod.TRACED, facts, {})


def old_weight_norm(module: nn.Module, **options: int | None) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module, **options)  # type: ignore[arg-type]


def conv(dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Conv2d(6, 5, 3).to(dtype)
