"""Transposed convolutions among those that no bias gives away: told by the normalisation behind them and by neighbours.

A weight of shape (a, b, kh, kw) makes a channels of b, or b of a where it is transposed. Which of the two fits is seen
from how many channels come in (what the convolution before gives) and go on (what the normalisation and the convolution
behind take). One coincidence is common in ordinary networks, two at once were not seen in timm's: see
``benchmarks.bare``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from distributed.convolutions.layout import AxisOrder
from distributed.convolutions.plan import Convolution
from distributed.formats.base import TensorEntry
from distributed.graph.name_order import flow_order


def turned_by_neighbours(
    convolutions: Sequence[Convolution], entries: Sequence[TensorEntry], order_known: bool
) -> list[Convolution]:
    """The convolutions, those turned over that their neighbours say are transposed (or, against their name, are not).

    Args:
        convolutions: in the order of ``entries``; ``is_transposed`` says what bias and name tell.
        entries: the checkpoint's tensors.
        order_known: whether they are in order of definition; else in natural order of their names.
    """
    norms = _Norms(entries, order_known)
    names = {entry.name for entry in entries}
    shapes = {each.name: _stored(each) for each in convolutions}
    flow = [each.name for each in convolutions] if order_known else flow_order(shapes)
    decided = {each.name: each for each in convolutions}
    for index, name in enumerate(flow):
        first, second, height, width = shapes[name]
        is_told = decided[name].order is AxisOrder.OHWI or f"{_above(name)}.bias" in names
        if first == second or second == 1 or height * width == 1 or is_told:
            continue
        before = flow[index - 1] if index else None
        behind = flow[index + 1] if index + 1 < len(flow) else None
        gives = decided[before].shape[0] if before else None
        takes = shapes[behind] if behind else None
        says = _verdict(
            _votes(
                shapes[name],
                norms.behind(name),
                gives if order_known or (before and _follow(before, name)) else None,
                takes if order_known or (behind and _follow(name, behind)) else None,
            )
        )
        # Names tell less of what follows what: then all have to agree.
        if says == 0 and not order_known and _votes(shapes[name], norms.beside(name), gives, takes) == (1, 1, 1):
            says = 1
        if says and (says > 0) != bool(decided[name].is_transposed):
            decided[name] = _turned(decided[name])
    return [decided[each.name] for each in convolutions]


def _votes(
    stored: tuple[int, ...], norm: int | None, before: int | None, behind: tuple[int, ...] | None
) -> tuple[int, int, int]:
    """What the normalisation, the convolution before and the one behind say: 1 transposed, -1 not, 0 nothing.

    Args:
        stored: shape of the weight.
        norm: channels of the normalisation behind it.
        before: channels that the convolution before gives.
        behind: stored shape of the convolution behind.
    """
    first, second = stored[:2]
    by_norm = 0 if norm not in (first, second) else 1 if norm == second else -1
    by_before = 0 if before not in (first, second) else 1 if before == first else -1
    by_behind = 0
    if behind is not None and behind != stored:  # one shape again and again: groups
        takes = behind[0] if behind[1] == 1 else behind[1]
        may_be_transposed = behind[2:] != (1, 1)
        fits = takes == second or (may_be_transposed and behind[0] == second)
        by_behind = -1 if takes == first else int(fits)
    return by_norm, by_before, by_behind


def _verdict(votes: tuple[int, int, int]) -> int:
    by_norm, by_before, by_behind = votes
    together = 2 * by_norm + by_before + by_behind
    return 1 if together >= 2 else -1 if together <= -2 and by_norm < 0 else 0


class _Norms:
    """Lengths of the normalisations of a checkpoint, by the module that they stand behind."""

    def __init__(self, entries: Sequence[TensorEntry], order_known: bool) -> None:
        modules: dict[str, list[tuple[int, ...]]] = {}
        for entry in entries:
            modules.setdefault(_above(entry.name), []).append(entry.shape)
        self._lengths = {module: _length(shapes) for module, shapes in modules.items()}
        self._beside: dict[str, list[str]] = {}
        for module, length in self._lengths.items():
            if length is not None:
                self._beside.setdefault(_above(module), []).append(module)
        order = list(modules)
        self._next = dict(pairwise(order))
        self._order_known = order_known

    def behind(self, name: str) -> int | None:
        """Channels of the normalisation that follows the weight ``name`` in the same module; None if there is none."""
        module = _above(name)
        follower = self._next.get(module, "")
        if _above(follower) != _above(module) or not (self._order_known or _follow(name, f"{follower}.weight")):
            return None
        return self._lengths.get(follower)

    def beside(self, name: str) -> int | None:
        """Channels of the one normalisation in the same module that has the number of the weight's module, or none."""
        module = _above(name)
        fitting = [each for each in self._beside.get(_above(module), []) if _numbers(each) == _numbers(module)]
        return self._lengths[fitting[0]] if len(fitting) == 1 else None


def _length(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """Length of a module that has vectors of one length and single values only, at least two of them."""
    lengths = {shape[0] for shape in shapes if len(shape) == 1}
    if len(lengths) != 1 or any(len(shape) > 1 for shape in shapes) or sum(map(len, shapes)) < 2:
        return None
    return lengths.pop()


def _above(name: str) -> str:
    return name.rpartition(".")[0]


def _numbers(module: str) -> list[str]:
    return re.findall(r"\d+", module.rpartition(".")[2])


def _follow(name: str, other: str) -> bool:
    """Whether the modules of two weights stand in one numbered sequence: by name alone only numbers are an order."""
    module, follower = _above(name), _above(other)
    numbers = module.rpartition(".")[2], follower.rpartition(".")[2]
    return _above(module) == _above(follower) and all(number.isdecimal() for number in numbers)


def _stored(convolution: Convolution) -> tuple[int, ...]:
    first, second, height, width = convolution.shape
    is_turned = convolution.is_transposed and convolution.order is not AxisOrder.OHWI
    return (second, first, height, width) if is_turned else convolution.shape


def _turned(convolution: Convolution) -> Convolution:
    first, second, height, width = convolution.shape
    return replace(
        convolution,
        shape=(second, first, height, width),
        is_transposed=None if convolution.is_transposed else True,
        is_depthwise=None if first == 1 else False,
    )
