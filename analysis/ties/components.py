"""What hangs together: the connected components of a graph given by its edges."""

from __future__ import annotations

import numpy as np

from analysis.arrays.types import Int64


def components(first: Int64, second: Int64, size: int) -> Int64:
    """(size,) for each node the smallest node of its component; ``first`` and ``second`` (E,) are the edges' ends."""
    labels = np.arange(size, dtype=np.int64)
    while True:
        least = np.minimum(labels[first], labels[second])
        after = labels.copy()
        np.minimum.at(after, labels[first], least)  # roots, so that whole trees are hooked at once
        np.minimum.at(after, labels[second], least)
        while (shorter := after[after]).tolist() != after.tolist():
            after = shorter
        if (after == labels).all():
            return labels
        labels = after
