"""Depth and operators of an architecture that is known: it is built without weights and run once.

Model and input live on torch's meta device: shapes without data. Nothing is downloaded, no weight is read, and no
memory is taken beyond the module objects; the median over timm's architectures is about 0.2 s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import torch
from torch import nn

from distributed.errors import FilterShiftError
from distributed.graph.dataflow import DataFlowRecorder
from distributed.graph.facts import DepthMethod, GraphFacts
from distributed.suggestions import did_you_mean


class TraceError(FilterShiftError):
    """The architecture cannot be built or run on the meta device; depth must come from elsewhere."""


#: What third-party model code raises when it is built from a wrong configuration or meets a meta tensor that it needs
#: the values of. All are reported as a TraceError that names the architecture.
_MODEL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@lru_cache(maxsize=256)
def trace(builder: str) -> GraphFacts:
    """Facts of the architecture that ``builder`` names; kept for the life of the process.

    Args:
        builder: ``timm:<architecture>`` (a pretrained tag may follow after a dot), or ``samples:<config.json text>``.

    Raises:
        TraceError: unknown kind of builder or architecture, or one that cannot be built or run without weights.
    """
    kind, _, text = builder.partition(":")
    makers: dict[str, Callable[[str], tuple[nn.Module, tuple[int, ...]]]] = {"timm": _timm, "samples": _sample}
    if kind not in makers or not text:
        raise TraceError(f"builder {_short(builder)!r} is not known: expected timm:<architecture> or samples:<config>")
    try:
        model, shape = makers[kind](text)
        # In force while the model runs as well: many make grids and masks in their forward pass.
        with torch.device("meta"):
            return trace_module(model, [torch.empty(1, *shape)])
    except _MODEL_ERRORS as error:
        cause = _short(str(error).partition("\n")[0]) or "no message"
        raise TraceError(f"{_short(builder)} cannot be traced: {type(error).__name__}: {cause}") from error


def trace_module(model: nn.Module, inputs: Sequence[torch.Tensor]) -> GraphFacts:
    """Facts of any module, from one forward pass in evaluation mode.

    Args:
        model: on the meta device, or on any other together with its inputs; its training mode is left as it was.
        inputs: the positional arguments of its forward pass.

    Raises:
        Whatever the model's own code raises.
    """
    modes = {module: module.training for module in model.modules()}
    recorder = DataFlowRecorder(model, inputs)
    try:
        with torch.no_grad(), recorder:
            model.eval()(*inputs)
    finally:
        for module, training in modes.items():
            module.training = training
    return GraphFacts(
        method=DepthMethod.TRACED,
        convolutions=recorder.convolutions,
        op_counts=dict(recorder.op_counts),
        aliases=recorder.aliases,
        norms=recorder.norms(),
    )


def _timm(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    import timm

    # Only registered names: create_model would also take hf-hub: and local-dir: and go to the network or the disk.
    if not timm.is_model(name):
        meant = did_you_mean(name, timm.list_models())
        raise TraceError(f"timm {timm.__version__} knows no architecture {_short(name)!r}{meant}")
    # Not around the import: tensors that a library makes once, when it is imported, must not be left without data.
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    return model, tuple(model.pretrained_cfg["input_size"])


def _sample(text: str) -> tuple[nn.Module, tuple[int, ...]]:
    from samples.architectures import build

    config = json.loads(text)
    if not isinstance(config, Mapping):
        raise TraceError(f"samples: the configuration is not a JSON object: {_short(text)!r}")
    with torch.device("meta"):
        model = build(config)
    return model, tuple(int(size) for size in config["input_shape"])


def _short(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
