"""Losses and metrics on whole held-out sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that people judge a model by.

    Attributes:
        name: as on a model card (``accuracy``, ``psnr`` …).
        higher_is_better: which way is up.
        unit: what the number is in, for the card; "" for a plain ratio.
    """

    name: str
    higher_is_better: bool = True
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class TargetMetric(Metric):
    """A metric that compares outputs with targets: ``measure(outputs, targets)``."""

    measure: Callable[[Tensor, Tensor], float]


def _accuracy(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(dim=1) == targets).double().mean())


def _mean_iou(outputs: Tensor, targets: Tensor) -> float:
    """Intersection over union per class over all pixels, averaged over the classes that occur."""
    classes = outputs.shape[1]
    pairs = targets.flatten() * classes + outputs.argmax(dim=1).flatten()
    confusion = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()
    shared = confusion.diagonal()
    union = confusion.sum(dim=0) + confusion.sum(dim=1) - shared
    return float((shared[union > 0] / union[union > 0]).mean())


def _psnr(outputs: Tensor, targets: Tensor) -> float:
    """10 log10(1 / mean squared error), per image, averaged; images in 0 … 1."""
    error = (outputs.clamp(0, 1).double() - targets.double()).square().mean(dim=(1, 2, 3))
    return float((-10 * torch.log10(error.clamp(min=1e-12))).mean())


def _absolute_relative(outputs: Tensor, targets: Tensor) -> float:
    """Mean |predicted − true depth| / true depth; both given as natural logarithms."""
    # 20 is far above any depth and far below overflow: an untrained model's error stays finite.
    predicted, true = outputs.double().clamp(max=20).exp(), targets.double().exp()
    return float(((predicted - true).abs() / true).mean())


ACCURACY = TargetMetric(name="accuracy", measure=_accuracy)
MEAN_IOU = TargetMetric(name="mean_iou", measure=_mean_iou)
PSNR = TargetMetric(name="psnr", measure=_psnr, unit="dB")
ABSOLUTE_RELATIVE = TargetMetric(name="abs_rel", measure=_absolute_relative, higher_is_better=False)
FRECHET = Metric(name="frechet_distance", higher_is_better=False)
ROC_AUC = Metric(name="roc_auc")

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross entropy": nn.functional.cross_entropy,
    "mean absolute error": nn.functional.l1_loss,
    "mean squared error": nn.functional.mse_loss,
}


def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Fréchet distance of two Gaussians fitted to feature rows (n, d) and (m, d) (Heusel et al., arXiv 1706.08500)."""
    difference = first.mean(axis=0) - second.mean(axis=0)
    covariance_a, covariance_b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(covariance_a @ covariance_b)
    return float(difference @ difference + np.trace(covariance_a + covariance_b - 2 * np.real(root)))


def pixel_features(images: Tensor) -> NDArray[np.float64]:
    """Means of 2x2 pixels: images (n, 1, h, w) → (n, h w / 4)."""
    return nn.functional.avg_pool2d(images, 2).flatten(1).double().numpy()


def real_against_fake(real: Tensor, fake: Tensor) -> float:
    """Area under the ROC curve of logits (n,) of real and (m,) of generated images: 0.5 is a coin."""
    labels = np.concatenate([np.ones(len(real)), np.zeros(len(fake))])
    return float(roc_auc_score(labels, torch.cat([real, fake]).double().numpy()))
