"""Plain NumPy transcription of DESIGN §3 and §4, float64: what ``layer_statistics`` is compared with."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from tests.reference import scale

#: The constant kernel and the checkerboard, of unit length.
DIRECTIONS = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, -1, 1, -1, 1]]) / 3


def entropy(filters: np.ndarray) -> float:
    x = filters.astype(np.float64)
    variances = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    if variances.sum() == 0:
        return 0.0
    p = variances / variances.sum()
    return float(-sum(v * math.log10(v) for v in p if v > 0))


def threshold(n: int) -> float:
    return 1.2618047 / (1 + math.exp(-0.88767525 * (math.log2(n) - 2.30436435))) - 0.31050834


def sketch(filters: np.ndarray) -> np.ndarray:
    """(256,) of (n, 9) weights: sign and bucket of each from SplitMix64's n-th number, in Python's whole numbers."""
    sums, mask, state = np.zeros(256), (1 << 64) - 1, 0x2201084652203153
    for row in filters.astype(np.float64):
        z = state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        for k in range(9):
            sums[(z + k) % 256] += -row[k] if (z >> (8 + k)) & 1 else row[k]
    largest = np.finfo(np.float32).max
    return np.clip(sums, -largest, largest).astype(np.float32)


def statistics(weight: np.ndarray) -> dict[str, object]:
    """All columns of an (out, in, 3, 3) float32 weight."""
    filters = weight.reshape(-1, 9).astype(np.float64)
    n, outputs = len(filters), weight.shape[0]
    largest = np.abs(filters).max()
    sparse = (np.abs(filters) < largest / 100).all(axis=1) if largest > 0 else np.ones(n, bool)
    rows = weight.reshape(outputs, -1).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    norms = np.linalg.norm(filters, axis=1)
    s = scale(filters)
    gram, clean = s.T @ s, s[~sparse]
    gram_clean = clean.T @ clean
    h = entropy(filters)
    return {
        "num_filters": n,
        "sparsity": sparse.mean(),
        "variance_entropy": h,
        "variance_entropy_normalized": h / threshold(n) if threshold(n) > 0 else None,
        "variance_entropy_clean": None if sparse.all() else entropy(filters[~sparse]),
        "orthogonality": None
        if outputs == 1
        else 1 - np.abs(unit @ unit.T - np.eye(outputs)).sum() / (outputs * (outputs - 1)),
        "norm_mean": norms.mean(),
        "norm_std": norms.std(),
        "max_abs": largest,
        "scaled_sum": s.sum(axis=0),
        "scaled_gram": np.array([gram[i, j] for i in range(9) for j in range(i + 1)]),
        "clean_sum": clean.sum(axis=0),
        "clean_gram": np.array([gram_clean[i, j] for i in range(9) for j in range(i + 1)]),
        "num_clean": int((~sparse).sum()),
        "digest": hashlib.sha256(np.ascontiguousarray(weight, "<f4").tobytes()).hexdigest(),
        "weight_sketch": sketch(weight.reshape(-1, 9)),
        "extreme_filters": [extreme for d in DIRECTIONS for extreme in ((s @ d).max(), (s @ d).min())],
    }
