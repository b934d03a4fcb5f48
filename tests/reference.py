"""DESIGN §4 written down once more, from the definitions, with plain NumPy and SciPy: slow, simple, float64.

Nothing here comes from ``analysis``: it is what ``analysis`` is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import entropy

EPS = np.finfo(np.float32).eps


def scale(filters: np.ndarray) -> np.ndarray:
    """(n, 9) filters, each divided by its largest magnitude; zero filters stay."""
    filters = np.asarray(filters, dtype=np.float64).reshape(-1, 9)
    largest = np.abs(filters).max(axis=1, keepdims=True)
    return filters / np.where(largest == 0, 1.0, largest)


def moments(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum (9,) of the scaled filters and lower triangle (45,) of their Gram matrix, row by row."""
    scaled = scale(filters)
    gram = scaled.T @ scaled
    return scaled.sum(axis=0), np.array([gram[i, j] for i in range(9) for j in range(i + 1)])


@dataclass
class Principal:
    mean: np.ndarray
    components: np.ndarray
    explained_variance_ratio: np.ndarray


def principal(filters: np.ndarray) -> Principal:
    """PCA of the scaled filters: eigenvectors of the covariance, largest variance first, largest entry positive."""
    scaled = scale(filters)
    values, vectors = np.linalg.eigh(np.cov(scaled, rowvar=False))
    order = np.argsort(values)[::-1]
    values, components = values[order], vectors.T[order]
    for component in components:
        if component[np.abs(component).argmax()] < 0:
            component *= -1
    return Principal(scaled.mean(axis=0), components, values / values.sum())


def coefficients(filters: np.ndarray, basis: Principal) -> np.ndarray:
    """(n, 9)."""
    return (scale(filters) - basis.mean) @ basis.components.T


def distribution(column: np.ndarray, low: float, high: float, bins: int = 70) -> np.ndarray:
    """(bins,) density of one component's coefficients, empty bins float32 eps, renormalised to 1."""
    density, _ = np.histogram(column, bins=bins, range=(low, high), density=True)
    density = np.where(density == 0, EPS, density)
    return density / density.sum()


def drift(first: np.ndarray, second: np.ndarray, ratio: np.ndarray, low: float, high: float, bins: int = 70) -> float:
    """D between two (n, 9) arrays of coefficients."""
    total = 0.0
    for i in range(9):
        p = distribution(first[:, i], low, high, bins)
        q = distribution(second[:, i], low, high, bins)
        total += ratio[i] * (entropy(p, q) + entropy(q, p))
    return total
