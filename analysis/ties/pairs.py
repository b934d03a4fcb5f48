"""What ties two models: equal weights, folded weights, shared layers, descent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.arrays.types import Bool, Float64, Int64
from analysis.ties.alike import alike_layers
from analysis.ties.exact import in_common, same_up_to_factors, weight_sets
from analysis.ties.marks import Marks

#: A mean cosine from which one model descends from the other. Measured (docs/evidence.md): models trained apart stay
#: below .17, fine-tunes lie between .4 (a learning rate as high as that of the training) and 1.
DESCENT = 0.3


class Tie(StrEnum):
    """What ties two models, the strongest of what is true.

    ``weights``: all layers have the same weights. ``folded``: all do up to a factor of each output channel, as where
    batch-norm is folded in. ``layers``: some layers have the same weights. ``descent``: the mean cosine over the layers
    of equal shape is at least ``DESCENT``, and at least half of the layers of the smaller model have such a layer.
    """

    weights = "same weights"
    folded = "folded"
    layers = "shared layers"
    descent = "descent"


#: In the order of their strength.
TIES = tuple(Tie)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """P pairs of models that something ties.

    Attributes:
        first, second: (P,) numbers of the models, first < second, sorted.
        tie: (P,) index into ``TIES``.
        equal: (P,) layers with the same weights.
        scaled: (P,) layers with the same weights up to a factor of each output channel, those with the same included.
        alike: (P,) layers whose cosine is at least ``alike.ALIKE``.
        compared: (P,) layers of equal shape.
        cosine: (P,) mean over these; a layer that is not alike counts 0. NaN where no sketch says.
        confirmed: (P,) whether the cosine is of the weights, not of their sketches.
    """

    first: Int64
    second: Int64
    tie: Int64
    equal: Int64
    scaled: Int64
    alike: Int64
    compared: Int64
    cosine: Float64
    confirmed: Bool

    def take(self, which: npt.NDArray[np.generic]) -> Pairs:
        """Some of them."""
        return Pairs(*(getattr(self, name)[which] for name in Pairs.__dataclass_fields__))


def tied_pairs(marks: Marks) -> Pairs:
    """All pairs that something ties, descent as the sketches have it; nothing is confirmed yet."""
    size = len(marks.models)
    sets = weight_sets(marks.model, marks.digest, size)
    same = _all_pairs(sets, size)
    equal = in_common(marks, marks.digest)
    scaled = in_common(marks, same_up_to_factors(marks))
    alike = alike_layers(marks)
    keys = np.unique(np.concatenate([same, *(each[0] * size + each[1] for each in (equal, scaled, alike))]))
    a, b = keys // size, keys % size

    def at(found: tuple[npt.NDArray[np.generic], ...], values: npt.NDArray[np.generic]) -> Float64:
        result = np.zeros(len(keys))
        result[np.searchsorted(keys, found[0].astype(np.int64) * size + found[1].astype(np.int64))] = values
        return result

    equal_layers, scaled_layers = at(equal, equal[2]), at(scaled, scaled[2])
    alike_number, cosines = at(alike, alike[3]), at(alike, alike[2])
    compared = _of_equal_shape(marks, a, b)
    smaller = np.minimum(marks.layers_of_models[a], marks.layers_of_models[b])
    mean = cosines / np.maximum(compared, 1)
    mean[marks.unseen[a] | marks.unseen[b]] = np.nan
    holds = [
        np.isin(keys, same),
        (scaled_layers >= smaller) & (smaller > 0),
        equal_layers > 0,
        (mean >= DESCENT) & (2 * compared >= smaller),
    ]
    tie = np.argmax(holds, axis=0)
    found = Pairs(
        first=a,
        second=b,
        tie=tie.astype(np.int64),
        equal=equal_layers.astype(np.int64),
        scaled=scaled_layers.astype(np.int64),
        alike=alike_number.astype(np.int64),
        compared=compared,
        cosine=mean,
        confirmed=np.zeros(len(keys), bool),
    )
    return found.take(np.any(holds, axis=0))


def _all_pairs(sets: Int64, size: int) -> Int64:
    """Keys of the pairs of models that bear the same number."""
    order = np.argsort(sets, kind="stable")
    keys = [np.empty(0, np.int64)]
    for members in np.split(order, np.flatnonzero(np.diff(sets[order])) + 1):
        if len(members) > 1:
            a, b = np.triu_indices(len(members), 1)
            keys.append(members[a] * size + members[b])
    return np.concatenate(keys)


#: Pairs whose layers are counted by shape at a time.
_AT_A_TIME = 1 << 14


def _of_equal_shape(marks: Marks, a: Int64, b: Int64) -> Int64:
    """(P,) how many layers of the one can be paired with one of the other."""
    shapes = int(marks.shape.max(initial=-1)) + 1
    by_shape = np.zeros((len(marks.models), shapes), np.int32)
    np.add.at(by_shape, (marks.model[marks.telling], marks.shape[marks.telling]), 1)
    result = np.empty(len(a), np.int64)
    for start in range(0, len(a), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        result[part] = np.minimum(by_shape[a[part]], by_shape[b[part]]).sum(axis=1)
    return result
