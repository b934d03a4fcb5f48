"""Handwriting: scikit-learn's 8x8 digits, enlarged to 16x16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_digits

SIZE = 16
HELD_OUT = 360


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All 1 797 digits: images (1797, 1, 16, 16) in 0 … 1 and labels (1797,) 0 … 9, in the data set's own order.

    The order is by writer, so the last ``HELD_OUT`` images come from other hands than the first.
    """
    bunch = load_digits()
    small = np.asarray(bunch.images, dtype=np.float64) / 16.0
    # Bilinear, pixel centres aligned: grid_mode keeps the picture centred.
    large = ndimage.zoom(small, (1, 2, 2), order=1, mode="nearest", grid_mode=True)
    images = np.clip(large, 0.0, 1.0).astype(np.float32)[:, None]
    return images, np.asarray(bunch.target, dtype=np.int64)


def shifted(
    images: NDArray[np.float32], rng: np.random.Generator, most: int = 1, background: float = 0.0
) -> NDArray[np.float32]:
    """Each image of (n, c, h, w) moved by up to ``most`` pixels in each direction; what comes in is background."""
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), constant_values=background)
    moves = rng.integers(0, 2 * most + 1, size=(count, 2))
    return np.stack([padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(moves)])
