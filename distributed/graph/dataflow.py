"""What flows into what, seen one operator at a time while a model runs.

Depth and the names of parameters are carried by *storages*, not by tensors: a view, an in-place operation and the
tensor that it came from share one storage, so nothing has to be known about the operators in between.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from distributed.graph.facts import BatchNorm, ConvolutionFacts, norms_by_weight

#: Operators that mix every weight into every output: behind them data no longer "is" a parameter.
_CONTRACTIONS = frozenset({"convolution", "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot"})

#: Batch norm in evaluation mode, as versions of torch and devices call it → positions of scale, variance and eps.
_BATCH_NORMS = {
    "native_batch_norm": (1, 4, 7),
    "cudnn_batch_norm": (1, 4, 7),
    "_native_batch_norm_legit_no_training": (1, 4, 6),
    "_batch_norm_no_update": (1, 4, 6),
    "batch_norm": (1, 4, 7),
}

_PARAMETRIZED = re.compile(r"^(.*?)parametrizations\.([^.]+)\.original\d*$")
_WEIGHT_NORM = re.compile(r"^(.*)_[gv]$")


@dataclass(frozen=True, slots=True)
class _Tag:
    """What is known of one storage.

    Attributes:
        depth: 2-D convolutions on the longest path that led to it.
        is_data: whether it depends on the model's input.
        origins: keys of the parameters that it was computed from without a contraction of data.
    """

    depth: int = 0
    is_data: bool = False
    origins: frozenset[int] = frozenset()


_NOTHING = _Tag()


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A learned tensor and every name it goes by, the first one first."""

    names: tuple[str, ...]
    shape: torch.Size


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in an operator's arguments or results: bare, or in (nested) lists and tuples."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _merge(tags: Sequence[_Tag]) -> _Tag:
    if not tags:
        return _NOTHING
    return _Tag(
        depth=max(tag.depth for tag in tags),
        is_data=any(tag.is_data for tag in tags),
        origins=frozenset().union(*(tag.origins for tag in tags)),
    )


@dataclass(slots=True)
class _Convolved:
    """What one call of a convolution gave: the weight's ``names``, how often it is read, by which batch norm."""

    names: list[str]
    shape: torch.Size
    uses: int = 0
    norm: BatchNorm | None = None


class DataFlowRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves __init_subclass__ bare
    """Runs around one forward pass and records its 2-D convolutions and operators.

    Every ``aten.convolution`` with a four-dimensional weight counts, whatever made the weight: 1x1, squeeze-excite and
    transposed convolutions, and those with a fixed kernel (blur pooling), which are counted but not listed.

    Attributes:
        convolutions: parameter name → facts, in order of first use.
        aliases: further name → first name.
        op_counts: name of the aten operator without its overload (``convolution``, ``native_batch_norm``, ``relu_`` …,
            views such as ``view`` and ``t`` included) → calls.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolutions: dict[str, ConvolutionFacts] = {}
        self.aliases: dict[str, str] = {}
        self.op_counts: Counter[str] = Counter()
        self._parameters: dict[int, _Parameter] = {}
        self._tags: dict[int, _Tag] = {}
        self._convolved: dict[int, _Convolved] = {}
        self._buffers = {_key(buffer): name for name, buffer in model.named_buffers()}
        # A storage that is freed gives its address to the next one, and with it a stale tag: keep all of them alive.
        self._alive: list[object] = [model, inputs]
        for name, parameter in model.named_parameters(remove_duplicate=False):
            self._register(name, parameter)
        for tensor in inputs:
            self._tags[_key(tensor)] = _Tag(is_data=True)

    def _register(self, name: str, parameter: torch.Tensor) -> None:
        key = _key(parameter)
        known = self._parameters.get(key)
        names = (*known.names, name) if known else (name,)
        self._parameters[key] = _Parameter(names, parameter.shape)
        # Gains, biases and the like can't be a kernel; leaving them out keeps the sets of origins small.
        if parameter.dim() >= 2:
            self._tags[key] = _Tag(origins=frozenset({key}))

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operator = func.overloadpacket.__name__
        self.op_counts[operator] += 1
        sources = list(_tensors([args, list(kwargs.values())]))
        tag = _merge([self._tags.get(_key(tensor), _NOTHING) for tensor in sources])
        self._read(operator, args, sources)
        if operator == "convolution" and args[1].dim() == 4:
            self._convolved[_key(result)] = _Convolved(self._record(args, tag), result.shape)
            tag = _Tag(tag.depth + 1, tag.is_data, tag.origins)
        if tag.is_data and operator in _CONTRACTIONS:
            tag = _Tag(tag.depth, True)
        if tag != _NOTHING:
            self._spread(tag, [*_tensors(result), *_written(func, args)])
        return result

    def _spread(self, tag: _Tag, outputs: Sequence[torch.Tensor]) -> None:
        for tensor in outputs:
            key = _key(tensor)
            known = self._tags.get(key)
            if known is None:
                self._alive.append(tensor.untyped_storage())
            self._tags[key] = tag if known is None else _merge([known, tag])

    def norms(self) -> dict[str, BatchNorm | None]:
        """See ``GraphFacts.norms``."""
        # Read by others as well, what a convolution gives has to stay: nothing can be folded into it.
        calls = self._convolved.values()
        return norms_by_weight((name, call.norm if call.uses == 1 else None) for call in calls for name in call.names)

    def _read(self, operator: str, args: tuple[Any, ...], sources: Sequence[torch.Tensor]) -> None:
        """Which convolutions' outputs an operator reads, and whether it is a batch norm of one, as it came."""
        for key in {_key(tensor) for tensor in sources} & self._convolved.keys():
            call = self._convolved[key]
            call.uses += 1
            if operator in _BATCH_NORMS and _key(args[0]) == key and args[0].shape == call.shape:
                call.norm = self._batch_norm(args, *_BATCH_NORMS[operator])

    def _batch_norm(self, args: tuple[Any, ...], scale: int, variance: int, eps: int) -> BatchNorm | None:
        """None where its statistics or its scale are not the model's own tensors."""
        if args[variance] is None or _key(args[variance]) not in self._buffers:
            return None
        learned = None if args[scale] is None else self._parameters.get(_key(args[scale]))
        if args[scale] is not None and learned is None:
            return None
        return BatchNorm(self._buffers[_key(args[variance])], learned.names[0] if learned else None, float(args[eps]))

    def _record(self, args: tuple[Any, ...], tag: _Tag) -> list[str]:
        """All names of its weight. ``args`` of aten.convolution: input, weight, bias, stride, padding, …, groups."""
        weight, transposed, groups, recorded = args[1], bool(args[6]), int(args[8]), list[str]()
        for parameter in self._learned(weight):
            names = _with_materialised(parameter.names)
            for name in names:
                known = self.convolutions.get(name)
                if known is None:
                    self.convolutions[name] = ConvolutionFacts(tag.depth, groups, transposed)
                elif tag.depth < known.depth:
                    self.convolutions[name] = ConvolutionFacts(tag.depth, known.groups, known.transposed)
                if name != names[0]:
                    self.aliases[name] = names[0]
            recorded += names
        return recorded

    def _learned(self, weight: torch.Tensor) -> list[_Parameter]:
        """The parameters that this kernel is: itself, or what it was derived from.

        Derived kernels (standardised, normalised, masked, modulated) keep the number of their values; gains and norms
        that went in do not have it. A kernel cut or put together from other ones is traced to all of those, unless
        data went in as well (a mixture of experts has no kernel of its own).
        """
        tag = self._tags.get(_key(weight), _NOTHING)
        origins = [self._parameters[key] for key in sorted(tag.origins)]
        lowest_rank = 3 if tag.is_data else 2
        for same in (
            [origin for origin in origins if origin.shape == weight.shape],
            [
                origin
                for origin in origins
                if origin.shape.numel() == weight.numel() and len(origin.shape) >= lowest_rank
            ],
            [origin for origin in origins if len(origin.shape) >= 4 and not tag.is_data],
        ):
            if same:
                return same
        return []


def _written(func: Any, args: tuple[Any, ...]) -> Iterator[torch.Tensor]:
    """Tensors that an operator writes into without returning them (``_foreach_add_`` …)."""
    if func._schema.is_mutable and not func._schema.returns:
        for declared, given in zip(func._schema.arguments, args, strict=False):
            if declared.alias_info is not None and declared.alias_info.is_write:
                yield from _tensors(given)


def _with_materialised(names: Sequence[str]) -> list[str]:
    """The names of a parameter, preceded by the name under which a checkpoint reader materialises it.

    ``conv.weight_v`` and ``conv.parametrizations.weight.original1`` (torch.nn.utils.weight_norm, old and new), and
    ``conv.parametrizations.weight.original`` are all the weight ``conv.weight``.
    """
    found: list[str] = []
    for name in names:
        if match := _PARAMETRIZED.match(name):
            found.append(match[1] + match[2])
        elif match := _WEIGHT_NORM.match(name):
            found.append(match[1])
    return list(dict.fromkeys([*found, *names]))
