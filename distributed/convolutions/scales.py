"""Weights that are numbers times a scale which lies beside them: 8-bit ones, and spectral norms of older makes.

A scale is applied where its meaning is certain: by its name, its shape and, for a norm, its value. Otherwise the weight
is left out: the bare numbers are never taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from distributed.convolutions.plan import WeightForm
from distributed.convolutions.stored import StoredWeight
from distributed.formats.base import TensorEntry

if TYPE_CHECKING:
    from torch import Tensor

#: Types too coarse for weights without a scale; floats are cast without one all the same.
_EIGHT_BITS = frozenset({"float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "int8", "uint8"})

#: What a weight is multiplied with, beside it: ComfyUI; diffusers and compressed-tensors; DeepSeek.
_SCALES = ("scale_{}", "{}_scale", "{}_scale_inv")
_ZERO_POINT = "{}_zero_point"
#: Siblings that have to do with the weight's integers in a way that is not known here, unless they are of activations.
_OF_QUANTISING = re.compile(r"scale|absmax|amax|zero_?point|quant|(^|_)scb$", re.IGNORECASE)
_OF_ACTIVATIONS = re.compile(r"(^|_)(in|out|input|output|act|activation)s?(_|$)", re.IGNORECASE)

#: (left vector, singular value) of spectral norms that iterate once more wherever the weight is used: BigGAN, mimicry.
_ITERATED = (("u0", "sv0"), ("sn_u", "sn_sigma"))
#: A left vector alone: a norm whose formula is not known.
_VECTORS = ("u", "u0", "sn_u", "weight_u")

#: Stored and computed singular value agree up to what float32 leaves.
_AGREEMENT = 1e-6


class UncertainWeightError(Exception):
    """The values of a weight's parts contradict each other. The text says how, to follow "left out NAME"."""


def scaled(
    entry: TensorEntry, by_name: Mapping[str, TensorEntry], by_module: Mapping[str, Sequence[str]]
) -> StoredWeight | None:
    """A weight with a scale beside it; None where nothing scales it.

    Args:
        entry: the weight.
        by_name: all entries.
        by_module: name of a module, "" for none, → the last segments of its tensors' names.
    """
    module, _, leaf = entry.name.rpartition(".")
    if len(entry.shape) < 4 or entry.is_dequantised:
        return None
    prefix = f"{module}." if module else ""
    scale = next((by_name[n] for form in _SCALES if (n := prefix + form.format(leaf)) in by_name), None)
    zero_point = by_name.get(prefix + _ZERO_POINT.format(leaf))
    if entry.dtype not in _EIGHT_BITS:
        if scale is None:
            return None
        return _unknown(entry, f"what {scale.name} does to it, a {entry.dtype} weight, is not known")
    if scale is None:
        others = sorted(other for other in by_module[module] if other != leaf and _is_of_quantising(other))
        if not others:
            return None
        return _unknown(entry, f"quantised ({entry.dtype}), and how {prefix}{others[0]} scales it is not known")
    parts = [entry, scale, *([] if zero_point is None else [zero_point])]
    for part in parts[1:]:
        if not _broadcasts(part.shape, entry.shape):
            return _unknown(entry, f"{part.name} {list(part.shape)} does not fit its shape {list(entry.shape)}")
    if not scale.dtype.startswith(("float", "bfloat")):
        return _unknown(entry, f"its scale {scale.name} is of {scale.dtype}")
    return StoredWeight(entry.name, entry.shape, entry.dtype, tuple(part.name for part in parts), WeightForm.SCALED)


def normalised(entry: TensorEntry, by_name: Mapping[str, TensorEntry]) -> StoredWeight | None:
    """A weight that its module divides by its largest singular value; None where nothing says so."""
    module, _, leaf = entry.name.rpartition(".")
    if leaf != "weight" or len(entry.shape) != 4:
        return None
    prefix = f"{module}." if module else ""
    if f"{prefix}weight_orig" in by_name:
        return None  # torch's first spectral norm stored the quotient as well: this is it
    for left, value in _ITERATED:
        vector, stored = by_name.get(prefix + left), by_name.get(prefix + value)
        if vector is not None and stored is not None and vector.shape == (1, entry.shape[0]) and stored.shape == (1,):
            parts = (entry.name, vector.name, stored.name)
            return StoredWeight(entry.name, entry.shape, entry.dtype, parts, WeightForm.ITERATED_SPECTRAL_NORM)
    for left in _VECTORS:
        vector = by_name.get(prefix + left)
        if vector is not None and vector.shape in ((entry.shape[0],), (1, entry.shape[0]), (entry.shape[0], 1)):
            return _unknown(entry, f"{vector.name} lies beside it: a spectral norm whose formula is not known")
    return None


def times_scale(weight: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    """(weight - zero point) · scale in float32; a scale of one dimension has a value for each index of the first axis.

    Raises:
        UncertainWeightError: the scale is above 1. It takes weights to the ends of eight bits (127, 448): above 1 it is
            to divide by, or something else.
    """
    numbers = weight.float()
    if not float(scale.float().abs().max()) <= 1:
        raise UncertainWeightError("whether to multiply with its scale, which is above 1, is not certain")
    if zero_point is not None:
        numbers = numbers - _over(zero_point, weight).float()
    return numbers * _over(scale, weight).float()


def over_singular_value(weight: Tensor, left: Tensor, stored: Tensor, name: str) -> Tensor:
    """W / σ with σ from one more power iteration, as the live module computes it (arXiv 1802.05957, 1809.11096).

    Raises:
        UncertainWeightError: σ is not the stored one: whether the weight has changed since, or the vectors are not
            what they are called, cannot be told.
    """
    import torch

    matrix = weight.reshape(weight.shape[0], -1)
    right = torch.nn.functional.normalize(left.to(matrix.dtype) @ matrix, eps=1e-12)
    again = torch.nn.functional.normalize(right @ matrix.T, eps=1e-12)
    sigma = (right @ matrix.T @ again.T).squeeze()
    if not 0 <= abs(float(sigma) - float(stored)) < _AGREEMENT * float(sigma):
        raise UncertainWeightError(
            f"its spectral norm is not settled: {name} says {float(stored):.7g}, one more step of it {float(sigma):.7g}"
        )
    return weight / sigma


def _is_of_quantising(leaf: str) -> bool:
    return _OF_QUANTISING.search(leaf) is not None and _OF_ACTIVATIONS.search(leaf) is None


def _broadcasts(shape: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    if all(extent == 1 for extent in shape):
        return True
    if len(shape) == 1:
        return shape[0] == weight[0]
    return len(shape) == len(weight) and all(a in (1, b) for a, b in zip(shape, weight, strict=True))


def _over(values: Tensor, weight: Tensor) -> Tensor:
    if values.numel() == 1:
        return values.reshape(())
    return values.reshape(-1, *[1] * (weight.ndim - 1)) if values.ndim == 1 else values


def _unknown(entry: TensorEntry, problem: str) -> StoredWeight:
    return StoredWeight(entry.name, entry.shape, entry.dtype, (entry.name,), None, problem)
