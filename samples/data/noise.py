"""Random fields with a 1/f^beta power spectrum: the raw material of terrain, marble and plasma."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spectral_noise(
    count: int, size: int, rng: np.random.Generator, beta: float | NDArray[np.float64] = 2.0
) -> NDArray[np.float64]:
    """``count`` fields (count, size, size), each scaled to 0 … 1, power falling as frequency^-beta."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1.0
    exponent = np.broadcast_to(np.asarray(beta, dtype=np.float64), (count,))[:, None, None]
    spectrum = np.fft.rfft2(rng.standard_normal((count, size, size)))
    spectrum *= frequency[None] ** (-exponent / 2)
    spectrum[:, 0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(size, size))
    low = field.min(axis=(1, 2), keepdims=True)
    high = field.max(axis=(1, 2), keepdims=True)
    return np.asarray((field - low) / (high - low))
