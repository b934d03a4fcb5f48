"""Depth scenes: a floor, a back wall, spheres and boxes, ray cast: a shaded RGB picture and every pixel's depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Metres between the camera and the back wall, at most; and the nearest thing.
FARTHEST, NEAREST = 10.0, 1.0
_SPHERES, _BOXES = 3, 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Hits:
    """Nearest hit so far: distance along the ray (n, h, w), normal (n, h, w, 3) and albedo (n, h, w, 3)."""

    distance: Floats
    normal: Floats
    albedo: Floats

    def take(self, distance: Floats, normal: Floats, albedo: Floats) -> None:
        """Keep what is nearer, in place."""
        nearer = distance < self.distance
        np.copyto(self.distance, distance, where=nearer)
        np.copyto(self.normal, normal, where=nearer[..., None])
        np.copyto(self.albedo, albedo, where=nearer[..., None])


def scenes(count: int, size: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``count`` pictures (count, 3, size, size) in 0 … 1 and depths (count, 1, size, size) in metres, 1 … 10."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, 3, size, size), dtype=np.float32)
    depths = np.empty((count, 1, size, size), dtype=np.float32)
    for start in range(0, count, 64):
        stop = min(start + 64, count)
        images[start:stop], depths[start:stop] = _render(stop - start, size, rng)
    return images, depths


def _render(count: int, size: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    # The camera looks along +z and slightly down; rays have z = 1, so distance along the ray is depth.
    rays = np.broadcast_to(
        np.stack(np.broadcast_arrays(0.7 * axis[None, :], 0.25 + 0.7 * axis[:, None], 1.0), axis=-1),
        (count, size, size, 3),
    )
    height = rng.uniform(1.0, 2.0, (count, 1, 1))  # of the camera above the floor; y points down
    wall = rng.uniform(6.0, FARTHEST, (count, 1, 1))
    hits = _Hits(np.full((count, size, size), np.inf), np.zeros(rays.shape), np.zeros(rays.shape))
    hits.take(np.broadcast_to(wall, hits.distance.shape), np.array([0.0, 0.0, -1.0]), _colour(count, rng))
    floor = height / np.maximum(rays[..., 1], 1e-6)  # a ray that never meets the floor gets a very large distance
    tile = (np.floor(rays[..., 0] * floor) + np.floor(floor)) % 2
    floor_colour = _colour(count, rng) * (0.8 + 0.2 * tile[..., None])
    hits.take(floor, np.array([0.0, -1.0, 0.0]), floor_colour)
    for _ in range(_SPHERES):
        _sphere(hits, rays, height, rng)
    for _ in range(_BOXES):
        _box(hits, rays, height, rng)
    light = rng.normal(0, 0.6, (count, 1, 1, 3)) + np.array([0.0, -1.0, -0.8])
    light /= np.linalg.norm(light, axis=-1, keepdims=True)
    lambert = np.clip((hits.normal * light).sum(axis=-1, keepdims=True), 0.0, None)
    haze = np.exp(-hits.distance / 25.0)[..., None]
    picture = hits.albedo * (0.35 + 0.65 * lambert) * haze + 0.8 * (1 - haze)
    picture = picture + 0.015 * rng.standard_normal(picture.shape)
    depth = np.clip(hits.distance, NEAREST, FARTHEST)
    return np.clip(picture, 0, 1).transpose(0, 3, 1, 2).astype(np.float32), depth[:, None].astype(np.float32)


def _colour(count: int, rng: np.random.Generator) -> Floats:
    return rng.uniform(0.25, 1.0, (count, 1, 1, 3))


def _sphere(hits: _Hits, rays: Floats, height: Floats, rng: np.random.Generator) -> None:
    """One sphere standing on each scene's floor."""
    count = len(rays)
    radius = rng.uniform(0.25, 0.9, (count, 1, 1))
    z = rng.uniform(2.2, 7.0, (count, 1, 1))
    centre = np.stack([rng.uniform(-0.7, 0.7, (count, 1, 1)) * z, height - radius, z], axis=-1)
    a = (rays**2).sum(axis=-1)
    b = (rays * centre).sum(axis=-1)
    discriminant = b**2 - a * ((centre**2).sum(axis=-1) - radius**2)
    distance = np.where(discriminant > 0, (b - np.sqrt(np.maximum(discriminant, 0))) / a, np.inf)
    point = rays * np.where(np.isfinite(distance), distance, 0.0)[..., None]
    hits.take(np.where(distance > NEAREST, distance, np.inf), (point - centre) / radius[..., None], _colour(count, rng))


def _box(hits: _Hits, rays: Floats, height: Floats, rng: np.random.Generator) -> None:
    """One axis-aligned box standing on each scene's floor (slab method)."""
    count = len(rays)
    half = rng.uniform(0.2, 0.8, (count, 1, 1, 3))
    z = rng.uniform(2.5, 7.5, (count, 1, 1))
    centre = np.stack([rng.uniform(-0.8, 0.8, (count, 1, 1)) * z, height - half[..., 1], z], axis=-1)
    safe = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
    first, second = (centre - half) / safe, (centre + half) / safe
    near = np.minimum(first, second)
    enter, leave = near.max(axis=-1), np.maximum(first, second).min(axis=-1)
    distance = np.where((enter < leave) & (enter > NEAREST), enter, np.inf)
    normal = -np.sign(rays) * (near == enter[..., None])
    hits.take(distance, normal, _colour(count, rng))


def sensed(depths: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Depth as a structured-light sensor gives it: noise growing with depth squared, holes (0) where it saw nothing.

    ``depths`` (n, 1, h, w) in metres; the noise law is that of Khoshelham & Elberink, Sensors 12 (2012), p. 1437,
    a quadratic in depth, enlarged to suit pictures of this size.
    """
    noisy = depths + (0.01 * depths**2 * rng.standard_normal(depths.shape)).astype(np.float32)
    return np.where(rng.random(depths.shape) < 0.08, np.float32(0), noisy).astype(np.float32)
