"""Natural photographs that are shipped inside the scikit-learn and scikit-image wheels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_images

#: What the cards say of the data.


def training_photographs() -> list[NDArray[np.float32]]:
    """RGB images (3, h, w) in 0 … 1: astronaut, chelsea, coffee, rocket and flower."""
    _, flower = load_sample_images().images
    return [_as_planes(image) for image in (data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), flower)]


def held_out_photographs() -> list[NDArray[np.float32]]:
    """The one photograph that no model trains on: a Chinese pavilion, (3, 427, 640) in 0 … 1."""
    china, _ = load_sample_images().images
    return [_as_planes(china)]


def _as_planes(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(image[..., :3].transpose(2, 0, 1), dtype=np.float32) / 255.0
