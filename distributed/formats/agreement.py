"""Whether one network is another at a second time: told by the values of a few weights.

An average, a teacher or a later state of a network goes with it value by value; two networks trained apart do not, even
where they were trained alike. What all outputs of a layer have in common (a bright centre in every kernel) is taken
off first: trained networks share that without being copies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distributed.values import Values, dtype_of, is_floating

#: Elements looked at of one tensor: its leading rows.
SAMPLE_ELEMENTS = 1 << 16

#: Tensors looked at of one network, spread over it, and the fewest elements that one of them should have.
_SAMPLE_TENSORS, _SMALLEST = 4, 256

#: Fewer independent values than this decide nothing.
_FEWEST_VALUES = 16

#: (rows, values a row) of a weight, its first dimension kept.
Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a few pairs of weights say.

    Attributes:
        least: lowest correlation of the pairs; 0 where there is none.
        typical: mean correlation, weighted by the number of values; 0 where there is none.
        values: number of values that the correlations rest on, common means aside; 0 where all weights are constant.
        first_only: none of the first network's values is negative, while many of the second's are.
        second_only: the reverse.
    """

    least: float = 0.0
    typical: float = 0.0
    values: int = 0
    first_only: bool = False
    second_only: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there are values enough to correlate."""
        return self.values >= _FEWEST_VALUES

    def reaches(self, correlation: float) -> bool:
        """Whether the pairs correlate so much on the whole, and surely more than by chance (4 sigma)."""
        return self.is_known and self.typical >= max(correlation, 4 / math.sqrt(self.values))


def sampled_rows(shape: Sequence[int]) -> int:
    """How many leading rows of a weight are looked at; 0 where it has none to compare."""
    if len(shape) < 2 or shape[0] < 2 or 0 in shape:
        return 0
    rows = min(shape[0], SAMPLE_ELEMENTS // math.prod(shape[1:]))
    return rows if rows >= 2 else 0


def rows_of(values: Values) -> Rows | None:
    """The leading rows of a weight, float64; None where it holds no finite floating-point numbers at hand."""
    rows = sampled_rows(values.shape)
    if not rows or not is_floating(dtype_of(values)):
        return None
    if isinstance(values, np.ndarray):
        found: Rows = values[:rows].astype(np.float64).reshape(rows, -1)
    elif str(values.layout) != "torch.strided" or values.device.type != "cpu":
        return None
    else:
        found = values.detach()[:rows].double().reshape(rows, -1).numpy()
    return found if bool(np.isfinite(found).all()) else None


def chosen_pairs(pairs: Sequence[tuple[int, int]], shapes: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """A few of the pairs of indices into ``shapes``, spread over their order, small ones first: they are to be read."""
    fit = [pair for pair in pairs if sampled_rows(shapes[pair[0]])]
    parts = [part for part in np.array_split(np.arange(len(fit)), _SAMPLE_TENSORS) if part.size]

    def cost(pair: tuple[int, int]) -> tuple[bool, int]:
        elements = math.prod(shapes[pair[0]])
        return (True, -elements) if elements < _SMALLEST else (False, elements)

    return [min((fit[index] for index in part.tolist()), key=cost) for part in parts]


def agreement(pairs: Sequence[tuple[Rows | None, Rows | None]]) -> Agreement:
    """What pairs of samples of equal shapes say together."""
    known = [(a, b) for a, b in pairs if a is not None and b is not None and a.shape == b.shape]
    found = [(_correlation(a, b), a.size - a.shape[1]) for a, b in known]
    correlations = [(correlation, number) for correlation, number in found if correlation is not None]
    values = sum(number for _, number in correlations)
    many = sum(a.size for a, _ in known) / 20
    first, second = (sum(int((pair[side] < 0).sum()) for pair in known) for side in (0, 1))
    return Agreement(
        least=min((correlation for correlation, _ in correlations), default=0.0),
        typical=sum(correlation * number for correlation, number in correlations) / values if values else 0.0,
        values=values,
        first_only=first == 0 and second > many,
        second_only=second == 0 and first > many,
    )


def _correlation(first: Rows, second: Rows) -> float | None:
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    # Of a constant weight only rounding is left.
    if scale <= 1e-24 * float(np.abs(first).max() * np.abs(second).max()) * first.size:
        return None
    return float((a * b).sum()) / scale
