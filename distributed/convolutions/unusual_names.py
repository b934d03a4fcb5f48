"""Weights whose names do not say so: ``conv1/W``, ``kernel``, ``filters``, the nth of a list. Their shapes do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from distributed.convolutions.evidence import is_weight_name, segments_of
from distributed.convolutions.stored import StoredWeight
from distributed.convolutions.weights import FLOATING

#: Last segments that name a weight in some code (Keras's, Flax's) and a fixed kernel or a table in other.
_UNUSUAL_LEAF = re.compile(r"^(.*_)?(kernels?|filt|filters?|weights?|w)$", re.IGNORECASE)

#: Sides of the kernels that convolutions have.
_SIDES = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13})

_POSITION = "a position"


def weights_by_shape(weights: Iterable[StoredWeight]) -> frozenset[str]:
    """Names of those that are convolution weights by their shape alone, in torch's order of axes.

    A square kernel in the last two dimensions. Whether it is a fixed one is for its values to say; but a table of 1x1
    or an unnamed tensor may be anything, unless of the same word there is one with several channels on both sides:
    where one is a weight, the word means weights in this file.
    """
    candidates: dict[str, tuple[str, bool]] = {}
    words: Counter[str] = Counter()
    for weight in weights:
        word = _unusual_word(weight.name)
        if word is None or is_weight_name(weight.name) or not _is_convolution_shape(weight):
            continue
        candidates[weight.name] = word, word != _POSITION and weight.shape[2:] != (1, 1)
        words[word] += weight.shape[0] > 1 and weight.shape[1] > 1
    return frozenset(name for name, (word, is_kernel) in candidates.items() if words[word] or is_kernel)


def is_unusual_name(name: str) -> bool:
    """Whether a name is one that weights have in some code, if the shape is a weight's."""
    return _unusual_word(name) is not None


def _unusual_word(name: str) -> str | None:
    leaf = segments_of(name)[-1]
    if leaf.isdecimal():
        return _POSITION
    match = _UNUSUAL_LEAF.match(leaf)
    return match[2].lower() if match is not None else None


def _is_convolution_shape(weight: StoredWeight) -> bool:
    if len(weight.shape) != 4 or weight.dtype not in FLOATING:
        return False
    first, second, height, width = weight.shape
    # The channels in the last places and the kernel in the first ones is another layout.
    return height == width and height in _SIDES and not (first == second == 3 and height > 3)
