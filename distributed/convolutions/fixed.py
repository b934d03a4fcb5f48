"""Kernels that nobody learned, told by their values: blurs, derivatives, Laplacians, banks of small integers, shifts.

Each family has an exact structure that training, which moves every weight by itself, does not arrive at. A name
(``gaussian``, ``dct``) proves nothing; beside it weaker structure is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from distributed.convolutions.evidence import is_fixed_name
from distributed.convolutions.materialising import materialise
from distributed.convolutions.plan import Convolution, ConvolutionPlan, WeightForm
from distributed.convolutions.unusual_names import is_unusual_name
from distributed.values import Values

#: Relative to the largest weight of a kernel: what float32 leaves of an exact relation.
_EXACT = 1e-6
#: What products that were rounded to a half precision leave of one: twice the type's epsilon.
_ROUNDED = {"float16": 2.0**-9, "bfloat16": 2.0**-6}
#: Multiples of one step up to which a kernel counts as one of small integers (SRM has 12, Kirsch 5).
_LARGEST_INTEGER = 24

#: Weights up to this size are read ahead if their name is one of a fixed kernel; no bank of those is larger.
_LARGEST_NAMED = 2**20
#: Up to this one if they are dense and called ``kernel``, as all are in Keras and Flax.
_LARGEST_CALLED_KERNEL = 2**12

_Kernels = NDArray[np.float64]
_Answers = NDArray[np.bool_]


def without_fixed(
    plan: ConvolutionPlan, read: Callable[[Sequence[str]], Iterator[tuple[str, Values]]]
) -> ConvolutionPlan:
    """The plan without kernels whose name says that nobody learned them, where their values agree.

    Args:
        plan: of a checkpoint.
        read: its ``read``; asked for the few small weights whose name says so.
    """
    suspects = [convolution for convolution in plan.convolutions if _is_suspect(convolution)]
    tensors = read([part for convolution in suspects for part in convolution.parts])
    fixed = []
    for convolution in suspects:
        weight = materialise(convolution, dict(next(tensors) for _ in convolution.parts))
        if is_fixed(weight, convolution.dtype, is_named=True):
            fixed.append(convolution)
    return plan.without(fixed, "named like a fixed kernel, and by its values one, not learned") if fixed else plan


def _is_suspect(convolution: Convolution) -> bool:
    if convolution.form is not WeightForm.PLAIN or convolution.shape[2:] == (1, 1):
        return False
    is_dense = is_unusual_name(convolution.name) and convolution.shape[1] > 1
    limit = _LARGEST_CALLED_KERNEL if is_dense else _LARGEST_NAMED
    return math.prod(convolution.shape) <= limit and is_fixed_name(convolution.name)


def is_fixed(weight: NDArray[np.float32], dtype: str = "float32", *, is_named: bool = False) -> bool:
    """Whether a weight was never learned.

    Args:
        weight: (out, in, kh, kw).
        dtype: as stored: products that were rounded to it are products to its precision only.
        is_named: the name says so as well.
    """
    if weight.ndim != 4 or weight.shape[2:] == (1, 1) or weight.size == 0:
        return False
    precision = _ROUNDED.get(dtype, _EXACT)
    if not is_named and _is_plainly_learned(weight[0, 0].reshape(-1).tolist()):
        return False
    kernels = weight.reshape(-1, *weight.shape[2:]).astype(np.float64)
    present = (kernels != 0).any((1, 2))
    if not present.any() or not _all_regular(kernels, precision, is_named):
        return False  # all zero: learned, or to be learned
    return is_named or _is_a_bank(kernels, present.reshape(weight.shape[:2]))


def _is_plainly_learned(kernel: list[float]) -> bool:
    """Whether one kernel alone shows it, without an array: nearly every layer ends here.

    Kernels of all families but integers and single weights look the same, or negated, when turned by half.
    """
    turned, largest = kernel[::-1], max(map(abs, kernel))
    if all(abs(a - b) <= _EXACT * largest for a, b in zip(kernel, turned, strict=True)):
        return False
    if all(abs(a + b) <= _EXACT * largest for a, b in zip(kernel, turned, strict=True)):
        return False
    if not math.isfinite(sum(map(abs, kernel))):
        return True
    present = [value for value in kernel if value]
    unit = min(map(abs, present)) / 6  # holds steps of a whole, a half and a third
    return len(present) > 1 and any(abs(value / unit - round(value / unit)) > 0.01 for value in present)


def _all_regular(kernels: _Kernels, precision: float, is_named: bool) -> bool:
    """Whether every kernel that is not zero has the structure of a fixed one."""
    scale = np.abs(kernels).max((1, 2))
    if not np.isfinite(scale).all():
        return False
    k = kernels[scale > 0] / scale[scale > 0, None, None]
    if not len(k):
        return True
    if is_named:
        return bool((_is_of_a_family(k, precision) | _is_loosely_regular(k, precision)).all())
    return bool(_is_of_a_family(k, precision).all())


def _is_of_a_family(k: _Kernels, precision: float) -> _Answers:
    rows, columns = k[:, ::-1], k[:, :, ::-1]
    # Blur, Sobel, Scharr, Prewitt, DCT: a column times a row, each symmetric or antisymmetric.
    regular = (_equal(k, rows) | _equal(k, -rows)) & (_equal(k, columns) | _equal(k, -columns))
    found = regular & _is_rank_one(k, precision)
    balanced = np.abs(k.sum((1, 2))) <= precision * k[0].size
    if k.shape[1] == k.shape[2]:  # Laplacian, of a Gaussian as well: no direction, no mean
        found |= _equal(k, rows) & _equal(k, columns) & _equal(k, k.swapaxes(1, 2)) & balanced
    # Compass kernels, SRM: integers without a mean. A single weight: a shift.
    return np.asarray(found | (_is_integer(k) & balanced) | (_count(k) == 1))


def _is_loosely_regular(k: _Kernels, precision: float) -> _Answers:
    turned = k[:, ::-1, ::-1]
    repeats = _equal(k, np.broadcast_to(k[:1], k.shape)) if len(k) > 1 else np.zeros(len(k), bool)
    return np.asarray(_is_rank_one(k, precision) | _equal(k, turned) | _equal(k, -turned) | _is_integer(k) | repeats)


def _is_a_bank(kernels: _Kernels, present: _Answers) -> bool:
    """Whether kernels that are regular one by one are what somebody would put together.

    Args:
        kernels: (out · in, kh, kw).
        present: (out, in), which of them are not zero.
    """
    k = kernels[present.reshape(-1)]
    single = np.abs(k).max((1, 2))[_count(k) == 1]
    if len(single) and not np.allclose(single, single[0], _EXACT, 0):
        return False  # what pruning left over
    # Constant kernels are a blur where each has an image of its own; in a dense layer they are its first state.
    is_constant = _equal(k / np.abs(k).max((1, 2))[:, None, None], np.ones_like(k)) | _equal(k, -np.abs(k))
    return not is_constant.any() or bool((present.sum(1) <= 1).all())


def _equal(a: _Kernels, b: _Kernels) -> _Answers:
    return np.asarray(np.abs(a - b).max((1, 2)) <= _EXACT)


def _count(k: _Kernels) -> NDArray[np.intp]:
    return np.asarray(np.count_nonzero(k, (1, 2)))


def _is_integer(k: _Kernels) -> _Answers:
    """Multiples of one step, which the smallest weight is once, twice or three times (Kirsch: 3 and 5)."""
    smallest = np.where(k == 0, np.inf, np.abs(k)).min((1, 2))[:, None, None]
    found = np.zeros(len(k), bool)
    for times in (1, 2, 3):
        multiples = k / smallest * times
        whole = np.abs(multiples - np.round(multiples)) <= _EXACT * _LARGEST_INTEGER
        found |= (whole & (np.abs(multiples) <= _LARGEST_INTEGER + 0.5)).all((1, 2))
    return found


def _is_rank_one(k: _Kernels, precision: float) -> _Answers:
    """Every 2x2 minor through the largest weight vanishes."""
    number = np.arange(len(k))
    row, column = np.divmod(np.abs(k).reshape(len(k), -1).argmax(1), k.shape[2])
    outer = k[number, :, column][:, :, None] * k[number, row, :][:, None, :] / k[number, row, column][:, None, None]
    return np.asarray(np.abs(k - outer).max((1, 2)) <= precision)
