"""The rules for degenerate layers at their edges."""

from __future__ import annotations

import numpy as np

from analysis.measures.degenerate import Degeneracy, degeneracies, random_thresholds


def test_the_rules_at_their_edges() -> None:
    n = np.array([256, 256, 256, 256, 4, 2, 256])
    threshold = random_thresholds(n)
    entropy = np.array([threshold[0] - 0.02, threshold[1] - 0.0201, 0.4999, 0.5, 0.3, 0.0, 0.0])
    sparsity = np.array([0.0, 0.0, 0.14, 0.9, 0.5, 0.0, 0.0])
    found = degeneracies(entropy, sparsity, threshold, np.array([1.0] * 6 + [0.0]))
    assert found == [
        Degeneracy.RANDOM,
        None,
        Degeneracy.COLLAPSED,
        None,
        Degeneracy.COLLAPSED,  # above T(4) as well
        None,
        Degeneracy.ZERO,
    ]
    assert degeneracies(np.array([0.4]), np.array([0.1399]), threshold[:1], np.ones(1)) == [None]
