"""Aerial-like maps: terrain with water, forest, fields, roads and buildings, and the class of every pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samples.data.noise import spectral_noise

CLASSES = ("field", "forest", "water", "road", "building")
_COLOURS = np.array(
    [[0.72, 0.72, 0.45], [0.22, 0.42, 0.22], [0.25, 0.42, 0.62], [0.62, 0.60, 0.58], [0.66, 0.38, 0.32]]
)
_GRAIN = np.array([0.05, 0.10, 0.02, 0.03, 0.05])


def maps(count: int, size: int, seed: int, grain: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """``count`` RGB images (count, 3, size, size) in 0 … 1 and classes (count, size, size) 0 … 4.

    ``grain`` scales the noise of surfaces and sensor.
    """
    rng = np.random.default_rng(seed)
    terrain = spectral_noise(count, size, rng, beta=4.2)
    wood = spectral_noise(count, size, rng, beta=3.6)
    labels = np.zeros((count, size, size), dtype=np.int64)
    labels[wood > rng.uniform(0.5, 0.7, count)[:, None, None]] = 1
    labels[terrain < rng.uniform(0.2, 0.4, count)[:, None, None]] = 2
    parcels = np.zeros((count, size, size))
    for i in range(count):
        parcels[i] = _parcels(size, rng)
        _build(labels[i], rng)
    colours = _COLOURS[labels] + 0.05 * rng.standard_normal((count, 1, 1, 3))
    colours += np.where(labels == 0, parcels, 0.0)[..., None] * np.array([0.6, 1.0, 0.4])
    # Hill shading by the terrain's slope, then the grain of each surface.
    colours *= (1.0 + 2.5 * (np.roll(terrain, 1, axis=2) - terrain))[..., None]
    colours += (grain * _GRAIN[labels] * rng.standard_normal(labels.shape))[..., None]
    colours += grain * 0.02 * rng.standard_normal(colours.shape)
    return np.clip(colours, 0.0, 1.0).transpose(0, 3, 1, 2).astype(np.float32), labels


def _parcels(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Straight-edged fields: a random tint for each cell of a coarse, tilted grid."""
    y, x = np.mgrid[:size, :size]
    theta = rng.uniform(0, np.pi)
    u = np.floor((x * np.cos(theta) + y * np.sin(theta)) / rng.uniform(8, 16)).astype(np.int64)
    v = np.floor((-x * np.sin(theta) + y * np.cos(theta)) / rng.uniform(12, 24)).astype(np.int64)
    tints = rng.normal(0, 0.08, (64, 64))
    return np.asarray(tints[u % 64, v % 64])


def _build(labels: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Roads across the map and rows of houses beside them, drawn into ``labels`` (size, size)."""
    size = labels.shape[0]
    y, x = np.mgrid[:size, :size]
    for _ in range(int(rng.integers(1, 4))):
        theta = rng.uniform(0, np.pi)
        normal, along = (np.cos(theta), np.sin(theta)), (-np.sin(theta), np.cos(theta))
        middle = rng.uniform(0.25 * size, 0.75 * size, 2)
        across = (x - middle[0]) * normal[0] + (y - middle[1]) * normal[1]
        length = (x - middle[0]) * along[0] + (y - middle[1]) * along[1]
        across = across + rng.uniform(0, 4) * np.sin(length / rng.uniform(8, 20))
        width = rng.uniform(1.2, 2.2)
        for place in np.arange(-size, size, rng.uniform(6, 11)):
            if rng.random() < 0.5:
                side = rng.choice([-1.0, 1.0]) * (width + rng.uniform(2.5, 4.0))
                half = rng.uniform(1.4, 2.8, 2)
                house = (np.abs(across - side) < half[0]) & (np.abs(length - place) < half[1])
                labels[house & (labels != 2) & (labels != 3)] = 4
        labels[np.abs(across) < width] = 3
