"""The supervised problems: what a model sees, what it should say, and how that is judged on data it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from samples.data import digits, fractals, maps, patches, photographs, scenes, textures
from samples.training.metrics import ABSOLUTE_RELATIVE, ACCURACY, MEAN_IOU, PSNR, TargetMetric

Batch = tuple[Tensor, Tensor]
Rng = np.random.Generator
_Arrays = tuple[NDArray[np.float32], NDArray[np.generic]]

#: Seeds of training and held-out data; every problem draws from its own pair of streams.
_TRAIN, _HELD_OUT = 1, 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem with its data.

    Attributes:
        draw: (batch size, generator) → inputs (n, …) and targets (n, …) of a training batch.
        held_out: inputs and targets that ``draw`` never gives.
        loss: key of ``LOSSES``.
        metric: the number on the card.
        baseline: what one gets without a model, and its metric (``bicubic enlargement``, 27.1).
        train_images: how many different images ``draw`` draws from; None where it cuts patches anywhere.
    """

    draw: Callable[[int, Rng], Batch]
    held_out: Batch
    loss: str
    metric: TargetMetric
    baseline: tuple[str, float]
    train_images: int | None


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _most_frequent(targets: NDArray[np.generic]) -> tuple[str, float]:
    """The share of the most frequent class: what a constant answer gets."""
    return "always the most frequent class", float(
        np.bincount(np.asarray(targets).astype(np.int64)).max() / len(targets)
    )


def _classification(
    train: _Arrays, test: _Arrays, augment: Callable[[NDArray[np.float32], Rng], NDArray[np.float32]]
) -> Problem:
    def draw(size: int, rng: Rng) -> Batch:
        rows = rng.integers(0, len(train[0]), size)
        return _tensor(augment(train[0][rows], rng)), _tensor(train[1][rows])

    held_out = _tensor(test[0]), _tensor(test[1])
    return Problem(draw, held_out, "cross entropy", ACCURACY, _most_frequent(test[1]), len(train[0]))


def _segmentation(train: _Arrays, test: _Arrays, classes: int) -> Problem:
    def draw(size: int, rng: Rng) -> Batch:
        rows = rng.integers(0, len(train[0]), size)
        both = np.concatenate([train[0][rows], np.asarray(train[1][rows], dtype=np.float32)[:, None]], axis=1)
        both = patches.dihedral(both, rng)
        return _tensor(both[:, :-1]), _tensor(both[:, -1].astype(np.int64))

    targets = _tensor(test[1])
    constant = torch.zeros(len(targets), classes, *targets.shape[1:])
    constant[:, int(torch.bincount(targets.flatten()).argmax())] = 1.0
    baseline = ("always the most frequent class", MEAN_IOU.measure(constant, targets))
    return Problem(draw, (_tensor(test[0]), targets), "cross entropy", MEAN_IOU, baseline, len(train[0]))


def _reconstruction(
    clean: Callable[[int, Rng], NDArray[np.float32]],
    degrade: Callable[[Tensor, Rng], Tensor],
    test: NDArray[np.float32],
    without_model: tuple[str, Callable[[Tensor], Tensor]],
    train_images: int | None,
    loss: str = "mean absolute error",
) -> Problem:
    """Give back the clean image (n, c, h, w) from a degraded one; ``without_model`` does it without learning."""

    def draw(size: int, rng: Rng) -> Batch:
        images = _tensor(clean(size, rng))
        return degrade(images, rng), images

    targets = _tensor(test)
    inputs = degrade(targets, np.random.default_rng(_HELD_OUT))
    label, simple = without_model
    return Problem(draw, (inputs, targets), loss, PSNR, (label, PSNR.measure(simple(inputs), targets)), train_images)


def _from(images: NDArray[np.float32]) -> Callable[[int, Rng], NDArray[np.float32]]:
    """Draws turned and flipped images from an array."""
    return lambda size, rng: patches.dihedral(images[rng.integers(0, len(images), size)], rng)


def _half(images: Tensor, rng: Rng) -> Tensor:
    del rng  # the same for every draw
    small = nn.functional.interpolate(images, scale_factor=0.5, mode="bicubic", align_corners=False, antialias=True)
    return small.clamp(0, 1)


def _double(images: Tensor) -> Tensor:
    return nn.functional.interpolate(images, scale_factor=2.0, mode="bicubic", align_corners=False)


def _noisy(images: Tensor, rng: Rng) -> Tensor:
    """Additive Gaussian noise of standard deviation 25/255, the usual benchmark level."""
    noise = rng.standard_normal(tuple(images.shape), dtype=np.float32) * np.float32(25 / 255)
    return images + torch.from_numpy(noise)


def _as_it_is(images: Tensor, rng: Rng) -> Tensor:
    del rng  # an auto-encoder's input is its target
    return images


def digits_classification() -> Problem:
    """Which digit is it?"""
    images, labels = digits.digits()
    split = len(images) - digits.HELD_OUT
    return _classification((images[:split], labels[:split]), (images[split:], labels[split:]), digits.shifted)


def fractals_classification() -> Problem:
    """Which of eight kinds of fractal is it?"""
    return _classification(fractals.fractals(3000, 32, _TRAIN), fractals.fractals(400, 32, _HELD_OUT), patches.dihedral)


def textures_classification() -> Problem:
    """Which of ten textures is it?"""
    train, test = (
        textures.textures(3000, 32, _TRAIN, held_out=False),
        textures.textures(400, 32, _HELD_OUT, held_out=True),
    )
    return _classification(train, test, patches.dihedral)


def textures_segmentation() -> Problem:
    """Which of ten textures does each pixel of a mosaic belong to?"""
    train, test = (
        textures.mosaics(1500, 48, _TRAIN, held_out=False),
        textures.mosaics(100, 48, _HELD_OUT, held_out=True),
    )
    return _segmentation(train, test, len(textures.CLASSES))


def maps_segmentation() -> Problem:
    """Field, forest, water, road or building?"""
    return _segmentation(maps.maps(1500, 48, _TRAIN), maps.maps(100, 48, _HELD_OUT), len(maps.CLASSES))


def maps_super_resolution() -> Problem:
    """Twice the resolution of a map."""
    train, test = (
        # Optics: without this blur, edges of whole pixels leave nothing in the small picture to find them by.
        ndimage.gaussian_filter(maps.maps(count, 48, seed, grain=0.3)[0], (0, 0, 0.8, 0.8))
        for count, seed in ((1200, _TRAIN), (64, _HELD_OUT))
    )
    return _reconstruction(_from(train), _half, test, ("bicubic enlargement", _double), len(train))


def _photograph_patches(side: int) -> tuple[Callable[[int, Rng], NDArray[np.float32]], NDArray[np.float32]]:
    train, test = photographs.training_photographs(), photographs.held_out_photographs()
    fixed = patches.random_patches(test, 64, side, np.random.default_rng(_HELD_OUT), augment=False)
    return (lambda size, rng: patches.random_patches(train, size, side, rng)), fixed


def photographs_super_resolution() -> Problem:
    """Twice the resolution of a photograph."""
    draw, test = _photograph_patches(48)
    return _reconstruction(draw, _half, test, ("bicubic enlargement", _double), None)


def photographs_denoising() -> Problem:
    """A photograph without its noise."""
    draw, test = _photograph_patches(32)
    return _reconstruction(draw, _noisy, test, ("the noisy input", lambda noisy: noisy), None, "mean squared error")


def depth_denoising() -> Problem:
    """What a depth sensor would give if it had neither noise nor holes; depths in units of the farthest."""
    train = scenes.scenes(1200, 48, _TRAIN)[1] / scenes.FARTHEST
    test = scenes.scenes(100, 48, _HELD_OUT)[1] / scenes.FARTHEST

    def degrade(images: Tensor, rng: Rng) -> Tensor:
        return _tensor(scenes.sensed((images * scenes.FARTHEST).numpy(), rng) / scenes.FARTHEST)

    def median(noisy: Tensor) -> Tensor:
        return _tensor(ndimage.median_filter(noisy.numpy(), size=(1, 1, 3, 3)))

    def draw(size: int, rng: Rng) -> NDArray[np.float32]:
        # Mirrored only: a room is never upside down.
        chosen = train[rng.integers(0, len(train), size)]
        return np.where(rng.integers(0, 2, (size, 1, 1, 1)) == 1, chosen[..., ::-1], chosen)

    # Squared error: to the absolute one, holes in 8 % of the pixels are outliers to be left alone.
    without = ("median of 3x3 pixels", median)
    return _reconstruction(draw, degrade, test, without, len(train), "mean squared error")


def depth_estimation() -> Problem:
    """The logarithm of every pixel's depth from one picture."""
    images, depths = scenes.scenes(1500, 48, _TRAIN)
    test_images, test_depths = scenes.scenes(100, 48, _HELD_OUT)
    logs = np.log(depths)

    def draw(size: int, rng: Rng) -> Batch:
        rows = rng.integers(0, len(images), size)
        mirror = rng.integers(0, 2, (size, 1, 1, 1)) == 1
        pair = images[rows], logs[rows]
        return tuple(_tensor(np.where(mirror, part[..., ::-1], part)) for part in pair)  # type: ignore[return-value]

    targets = _tensor(np.log(test_depths))
    mean = _tensor(logs.mean(axis=0, keepdims=True)).expand_as(targets)
    baseline = ("the mean depth of each pixel", ABSOLUTE_RELATIVE.measure(mean, targets))
    held_out = _tensor(test_images), targets
    return Problem(draw, held_out, "mean absolute error", ABSOLUTE_RELATIVE, baseline, len(images))


def _auto_encoding(train: NDArray[np.float32], test: NDArray[np.float32], turn: bool) -> Problem:
    mean = _tensor(train.mean(axis=0, keepdims=True))
    draw = _from(train) if turn else (lambda size, rng: digits.shifted(train[rng.integers(0, len(train), size)], rng))
    without = ("the mean training image", lambda images: mean.expand_as(images))
    return _reconstruction(draw, _as_it_is, test, without, len(train), "mean squared error")


def digits_auto_encoding() -> Problem:
    """A digit through a narrow code and back."""
    images, _ = digits.digits()
    return _auto_encoding(images[: -digits.HELD_OUT], images[-digits.HELD_OUT :], turn=False)


def fractals_auto_encoding() -> Problem:
    """A fractal through a narrow code and back."""
    train, test = fractals.fractals(3000, 32, _TRAIN)[0], fractals.fractals(200, 32, _HELD_OUT)[0]
    return _auto_encoding(train, test, turn=True)


#: Every supervised problem by name; called, it makes its data.
PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    make.__name__: make
    for make in (
        digits_classification,
        fractals_classification,
        textures_classification,
        textures_segmentation,
        maps_segmentation,
        maps_super_resolution,
        photographs_super_resolution,
        photographs_denoising,
        depth_denoising,
        depth_estimation,
        digits_auto_encoding,
        fractals_auto_encoding,
    )
}
