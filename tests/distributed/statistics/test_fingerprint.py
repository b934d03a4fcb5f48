"""What the sketch of weights promises: products are estimated, without a bias and as close as is said."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.statistics import fingerprint as module
from distributed.statistics.fingerprint import Fingerprint


def sketch(weights: np.ndarray) -> np.ndarray:
    return Fingerprint.of([weights.astype(np.float32)], compiled=True).sketch.astype(np.float64)


@pytest.mark.parametrize("kind", ["normal", "one input channel", "constant kernels", "few filters"])
def test_products_are_estimated_without_bias_and_as_close_as_promised(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    generator = np.random.default_rng(3)
    first, noise = generator.standard_normal((2, 12 if kind == "few filters" else 512, 9))
    if kind == "one input channel":  # all weight on every 64th filter: what a hash by residues would pile up
        first[np.arange(512) % 64 != 0], noise[np.arange(512) % 64 != 0] = 0, 0
    if kind == "constant kernels":
        first[:] = first[:, :1]
    second = 0.6 * first + 0.8 * noise
    product, size = (first * second).sum(), np.linalg.norm(first) * np.linalg.norm(second)
    found = []
    for seed in range(400):
        monkeypatch.setattr(module, "SEED", seed * 0x1234567)
        found.append(sketch(first) @ sketch(second))
    spread = np.sqrt((size**2 + product**2) / 256)  # what the docstring promises at most
    assert abs(np.mean(found) - product) < 4 * spread / np.sqrt(400)
    assert np.std(found) < 1.15 * spread


def test_sketches_add_up() -> None:
    first, second = np.random.default_rng(4).standard_normal((2, 300, 9)).astype(np.float32)
    np.testing.assert_allclose(sketch(first) + sketch(second), sketch(first + second), atol=1e-4)


def test_numpy_and_the_loop_add_to_the_bit() -> None:
    weights = np.random.default_rng(5).standard_normal((1000, 9)).astype(np.float32)
    whole = Fingerprint.of([weights], compiled=True)
    for cut in (0, 1, 999):
        parts = Fingerprint.of([weights[:cut], weights[cut:]], compiled=False)
        assert parts.digest == whole.digest
        np.testing.assert_array_equal(parts.sketch, whole.sketch)


def test_a_changed_bit_and_a_changed_order_are_other_weights() -> None:
    weights = np.random.default_rng(6).standard_normal((8, 9)).astype(np.float32)
    other = weights.copy()
    other[3, 4] = np.nextafter(other[3, 4], np.float32(9))
    digests = {Fingerprint.of([each], compiled=False).digest for each in (weights, other, weights[::-1].copy())}
    assert len(digests) == 3
