"""Fractals of eight kinds: escape-time sets, Newton basins, iterated function systems, plasma."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samples.data.noise import spectral_noise

CLASSES = ("mandelbrot", "julia", "burning ship", "newton", "fern", "sierpinski", "dragon", "plasma")
_ITERATIONS = 40

# Iterated function systems: rows (a, b, c, d, e, f) of x' = a x + b y + e, y' = c x + d y + f, and their weights.
_SYSTEMS = {
    "fern": (
        ((0, 0, 0, 0.16, 0, 0), (0.85, 0.04, -0.04, 0.85, 0, 1.6), (0.2, -0.26, 0.23, 0.22, 0, 1.6),
         (-0.15, 0.28, 0.26, 0.24, 0, 0.44)),
        (0.02, 0.84, 0.07, 0.07),
    ),
    "sierpinski": (
        ((0.5, 0, 0, 0.5, 0, 0), (0.5, 0, 0, 0.5, 0.5, 0), (0.5, 0, 0, 0.5, 0.25, 0.433)),
        (1 / 3, 1 / 3, 1 / 3),
    ),
    "dragon": (((0.5, -0.5, 0.5, 0.5, 0, 0), (-0.5, -0.5, 0.5, -0.5, 1, 0)), (0.5, 0.5)),
}  # fmt: skip


def fractals(
    count: int, size: int, seed: int, kinds: tuple[str, ...] = CLASSES
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """``count`` images (count, 1, size, size) in 0 … 1 and their classes 0 …, each kind equally often, shuffled."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(kinds)
    images = np.empty((count, size, size), dtype=np.float64)
    for label, kind in enumerate(kinds):
        rows = np.flatnonzero(labels == label)
        if kind in _SYSTEMS:
            images[rows] = _iterated_function_system(kind, len(rows), size, rng)
        elif kind == "plasma":
            images[rows] = spectral_noise(len(rows), size, rng, beta=rng.uniform(2.0, 3.5, len(rows)))
        else:
            images[rows] = _escape_time(kind, len(rows), size, rng)
    order = rng.permutation(count)
    return images[order, None].astype(np.float32), labels[order]


def _escape_time(kind: str, count: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smoothed iteration counts of random windows with something to see, (count, size, size) in 0 … 1."""
    spare = 3 * count
    centre, radius = _windows(kind, spare, rng)
    theta = rng.uniform(0, 2 * np.pi, spare)
    # Just outside the main cardioid Julia sets are connected or nearly so, never a blank disc.
    constant = (0.5 * np.exp(1j * theta) - 0.25 * np.exp(2j * theta)) * rng.uniform(1.03, 1.12, spare)
    span = radius * np.exp(1j * rng.uniform(0, 2 * np.pi if kind != "burning ship" else 0.5, spare))
    degree = rng.integers(3, 6, spare)

    def picture(chosen: NDArray[np.int64], side: int) -> NDArray[np.float64]:
        axis = np.linspace(-1, 1, side)
        square = axis[None, None, :] + 1j * axis[None, :, None]
        plane = centre[chosen, None, None] + span[chosen, None, None] * square
        if kind == "newton":
            return _newton(plane, degree[chosen, None, None])
        return _iterate(kind, plane, np.broadcast_to(constant[chosen, None, None], plane.shape))

    # Many windows miss the boundary and are blank: a thumbnail of three times as many tells which to keep.
    contrast = picture(np.arange(spare), 8).std(axis=(1, 2))
    return picture(np.sort(np.argsort(contrast)[-count:]), size)


def _iterate(kind: str, plane: NDArray[np.complex128], constant: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Smoothed escape times of z → z² + c over complex planes (n, s, s); c is ``constant`` for Julia sets."""
    z, c = (plane.copy(), constant) if kind == "julia" else (np.zeros_like(plane), plane)
    steps = np.full(plane.shape, float(_ITERATIONS))
    alive = np.ones(plane.shape, dtype=bool)
    for step in range(_ITERATIONS):
        if kind == "burning ship":
            z = np.abs(z.real) + 1j * np.abs(z.imag)
        z = np.where(alive, z * z + c, z)
        magnitude = np.abs(z)
        escaped = alive & (magnitude > 8)
        steps[escaped] = step + 1 - np.log2(np.log(magnitude[escaped]) / np.log(8))
        alive &= ~escaped
    return np.asarray(np.sqrt(np.clip(steps, 0, _ITERATIONS) / _ITERATIONS))


def _windows(kind: str, count: int, rng: np.random.Generator) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    radius = np.exp(rng.uniform(np.log(0.15), np.log(1.2), count))
    theta = rng.uniform(0, 2 * np.pi, count)
    if kind == "mandelbrot":
        return 0.5 * np.exp(1j * theta) - 0.25 * np.exp(2j * theta), radius
    if kind == "burning ship":
        return rng.uniform(-1.9, 0.4, count) - 1j * rng.uniform(0.0, 1.1, count), np.minimum(radius, 0.6)
    return 0.4 * np.exp(1j * theta) * rng.uniform(0, 1, count), np.maximum(radius, 0.5)


def _newton(plane: NDArray[np.complex128], degree: NDArray[np.int64]) -> NDArray[np.float64]:
    """Newton's method for z^n = 1: brightness is the root reached, shaded by how slowly."""
    z = plane.copy()
    late = np.zeros(plane.shape)
    for _ in range(20):
        z = np.where(np.abs(z) < 1e-3, 1e-3, z)
        step = (z**degree - 1) / (degree * z ** (degree - 1))
        late += np.abs(step) > 1e-3
        z = z - step
    root = np.mod(np.round(np.angle(z) / (2 * np.pi) * degree), degree)
    return np.clip((root + 1) / (degree + 1) - 0.03 * (late - 4), 0.0, 1.0)


def _iterated_function_system(kind: str, count: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Chaos game with slightly disturbed maps, turned and cropped: log density of the orbit, in 0 … 1."""
    maps, weights = _SYSTEMS[kind]
    systems = np.array(maps)[None] * (1 + 0.06 * rng.standard_normal((count, len(maps), 6)))
    orbits, length = 60, 60
    point = np.zeros((count, orbits, 2))
    visited = np.empty((length, count, orbits, 2))
    everyone = np.arange(count)[:, None]
    for step in range(length + 15):
        a, b, c, d, e, f = np.moveaxis(systems[everyone, rng.choice(len(maps), (count, orbits), p=weights)], -1, 0)
        x, y = point[..., 0], point[..., 1]
        point = np.stack([a * x + b * y + e, c * x + d * y + f], axis=-1)
        if step >= 15:
            visited[step - 15] = point
    cloud = np.moveaxis(visited, 0, 1).reshape(count, -1, 2)
    cloud -= cloud.mean(axis=1, keepdims=True)
    cloud /= cloud.std(axis=(1, 2), keepdims=True)
    theta = rng.uniform(0, 2 * np.pi, count)
    turn = np.stack([np.cos(theta), -np.sin(theta), np.sin(theta), np.cos(theta)], axis=-1).reshape(count, 2, 2)
    zoom = rng.uniform(0.18, 0.3, count)[:, None, None]
    pixel = np.floor((cloud @ turn * zoom + 0.5) * size).astype(np.int64)
    inside = ((pixel >= 0) & (pixel < size)).all(axis=-1)
    flat = (np.arange(count)[:, None] * size + pixel[..., 1]) * size + pixel[..., 0]
    density = np.bincount(flat[inside], minlength=count * size * size).reshape(count, size, size)
    logged = np.log1p(density.astype(np.float64))
    return np.asarray(logged / logged.max(axis=(1, 2), keepdims=True))
