"""Textures: seven made by procedure, three photographed (grass, gravel, brick, shipped inside scikit-image)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage import data, transform

from samples.data.noise import spectral_noise
from samples.data.patches import random_patches

PROCEDURAL = ("stripes", "checks", "cells", "marble", "wood", "dots", "weave")
CLASSES = (*PROCEDURAL, "grass", "gravel", "brick")


def textures(
    count: int, size: int, seed: int, held_out: bool, classes: tuple[str, ...] = CLASSES
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """``count`` images (count, 1, size, size) in 0 … 1 and their classes, each class equally often, shuffled.

    Photographed textures are cut from the left two thirds of their photograph, held-out ones from the rest.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(classes)
    images = np.empty((count, 1, size, size), dtype=np.float32)
    for label, kind in enumerate(classes):
        rows = np.flatnonzero(labels == label)
        if kind in PROCEDURAL:
            images[rows, 0] = procedural(kind, len(rows), size, rng)
        else:
            images[rows] = random_patches([_photographed(kind, held_out)], len(rows), size, rng)
    order = rng.permutation(count)
    contrast = rng.uniform(0.6, 1.0, (count, 1, 1, 1)).astype(np.float32)
    brightness = rng.uniform(0.0, 1.0, (count, 1, 1, 1)).astype(np.float32) * (1 - contrast)
    return images[order] * contrast + brightness, labels[order]


def mosaics(
    count: int, size: int, seed: int, held_out: bool, classes: tuple[str, ...] = CLASSES
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images (count, 1, size, size) of three textures side by side, and each pixel's class (count, size, size)."""
    rng = np.random.default_rng(seed)
    pool, labels = textures(3 * count, size, seed + 1, held_out, classes)
    sites = rng.uniform(0, size, (count, 3, 2))
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - sites[..., 0, None, None], x - sites[..., 1, None, None])
    distance += 4.0 * spectral_noise(3 * count, size, rng, beta=3.5).reshape(count, 3, size, size)
    owner = distance.argmin(axis=1)
    stack = pool[:, 0].reshape(count, 3, size, size)
    images = np.take_along_axis(stack, owner[:, None], axis=1)
    return images, np.take_along_axis(labels.reshape(count, 3), owner.reshape(count, -1), axis=1).reshape(owner.shape)


def procedural(kind: str, count: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """``count`` textures of one kind, (count, size, size) in 0 … 1, each at its own scale and angle."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    theta = rng.uniform(0, np.pi, count)[:, None, None]
    offset = rng.uniform(0, size, (2, count, 1, 1))
    u = x * np.cos(theta) + y * np.sin(theta) + offset[0]
    v = -x * np.sin(theta) + y * np.cos(theta) + offset[1]
    period = rng.uniform(4, 9, count)[:, None, None]
    wave_u, wave_v = np.sin(2 * np.pi * u / period), np.sin(2 * np.pi * v / period)
    warp = spectral_noise(count, size, rng, beta=3.6) - 0.5
    grain = 0.08 * rng.standard_normal((count, size, size))
    if kind == "stripes":
        field = 0.5 + 0.45 * wave_u
    elif kind == "checks":
        field = 0.5 + 0.4 * np.sign(wave_u * wave_v)
    elif kind == "cells":
        field = _cells(count, size, rng)
    elif kind == "marble":
        field = 0.5 + 0.45 * np.sin(2 * np.pi * (u / (2 * period) + 2 * warp))
    elif kind == "wood":
        field = np.mod(np.hypot(u - offset[0], 0.3 * v) / period + 1.2 * warp, 1.0)
    elif kind == "dots":
        field = np.where((wave_u > 0.2) & (wave_v > 0.2), 0.9, 0.15) + 0.1 * warp
    elif kind == "weave":
        over = np.sign(np.sin(np.pi * u / period) * np.sin(np.pi * v / period))
        field = 0.5 + 0.4 * np.where(over > 0, np.abs(wave_u), -np.abs(wave_v))
    else:
        raise ValueError(f"unknown texture {kind!r}; known are {', '.join(PROCEDURAL)}")
    return np.asarray(np.clip(field + grain, 0.0, 1.0))


def _cells(count: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Voronoi cells: distance to the border between the nearest two of some 30 points."""
    points = rng.uniform(-0.2 * size, 1.2 * size, (count, 36, 2))
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - points[..., 0, None, None], x - points[..., 1, None, None])
    nearest = np.partition(distance, 1, axis=1)[:, :2]
    return np.clip((nearest[:, 1] - nearest[:, 0]) / 5.0, 0.0, 1.0)


def _photographed(kind: str, held_out: bool) -> NDArray[np.float32]:
    """One photograph at half resolution, (1, 256, w) in 0 … 1, its part for training or the rest."""
    load = {"grass": data.grass, "gravel": data.gravel, "brick": data.brick}[kind]
    half: NDArray[np.float32] = transform.downscale_local_mean(load().astype(np.float32) / 255.0, (2, 2))
    border = half.shape[1] * 2 // 3
    return half[None, :, border:] if held_out else half[None, :, :border]
