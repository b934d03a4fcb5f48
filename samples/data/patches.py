"""Square patches cut from larger images, and their flips and quarter turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def random_patches(
    images: Sequence[NDArray[np.float32]], count: int, size: int, rng: np.random.Generator, augment: bool = True
) -> NDArray[np.float32]:
    """``count`` patches (count, c, size, size) from images (c, h, w), each image weighted by its area."""
    areas = np.array([image.shape[1] * image.shape[2] for image in images], dtype=np.float64)
    chosen = rng.choice(len(images), size=count, p=areas / areas.sum())
    patches = np.empty((count, images[0].shape[0], size, size), dtype=np.float32)
    for i, which in enumerate(chosen):
        image = images[which]
        y = int(rng.integers(0, image.shape[1] - size + 1))
        x = int(rng.integers(0, image.shape[2] - size + 1))
        patches[i] = image[:, y : y + size, x : x + size]
    return dihedral(patches, rng) if augment else patches


def dihedral(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each image of (n, c, s, s) flipped and turned by a random multiple of 90 degrees."""
    turned = np.empty_like(images)
    for i, (turns, flip) in enumerate(
        zip(rng.integers(0, 4, len(images)), rng.integers(0, 2, len(images)), strict=True)
    ):
        image = np.rot90(images[i], int(turns), axes=(1, 2))
        turned[i] = image[:, :, ::-1] if flip else image
    return turned
