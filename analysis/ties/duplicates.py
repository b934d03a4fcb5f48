"""Weight sets that a store holds more than once: which model stands for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.ties.exact import weight_sets


def same_weights(layers: pa.Table) -> dict[str, str]:
    """``model_id`` → that of the first model with the same weights, of each model that shares them with another.

    The same weights are equal digests of all layers, each as often. Folded copies, halves of copies and all else
    that differs by a bit are other weights.

    Args:
        layers: a row per layer, with ``model_id`` and ``digest``; all layers of each model.
    """
    if "digest" not in layers.column_names:
        return {}
    ids, model = np.unique(np.array(layers.column("model_id").to_pylist(), dtype=str), return_inverse=True)
    digests = np.array(pc.fill_null(layers.column("digest"), "").to_pylist(), dtype=str)
    sets = weight_sets(model.astype(np.int64), digests, len(ids))
    shared = np.bincount(sets, minlength=len(ids))[sets] > 1
    return {str(ids[m]): str(ids[sets[m]]) for m in np.flatnonzero(shared)}


def counting_once(model_ids: Sequence[str], twins: dict[str, str]) -> dict[str, str]:
    """``model_id`` → that of the model that stands for its weights, of those that are not to count.

    Args:
        model_ids: of the models that take part, the one that is to stand for its weights before the others.
        twins: of ``same_weights``.
    """
    standing: dict[str, str] = {}
    return {
        model_id: standing[twins[model_id]]
        for model_id in dict.fromkeys(model_ids)
        if model_id in twins and standing.setdefault(twins[model_id], model_id) != model_id
    }


def without_duplicates(layers: pa.Table) -> pa.Table:
    """The rows of ``layers`` (see ``same_weights``) in which each weight set is there once."""
    twins = same_weights(layers)
    left_out = [model_id for model_id, first in twins.items() if model_id != first]
    if not left_out:
        return layers
    return layers.filter(pc.invert(pc.is_in(layers.column("model_id"), value_set=pa.array(left_out, pa.string()))))
