"""Training a generator and a discriminator against each other, and judging both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from samples.data import digits, fractals
from samples.data.patches import dihedral
from samples.training.loop import Judgement, initialised, outputs_of
from samples.training.metrics import frechet_distance, pixel_features, real_against_fake
from samples.training.problems import Rng
from samples.training.recipes import Recipe

#: Latents that judge a generator: always the same.
_LATENT_SEED, _LATENTS = 4, 500
OPTIMIZER = "Adam"

#: Weight of the gradient penalty, and in how many steps it is taken once ("lazy", arXiv 1912.04958).
PENALTY, PENALTY_EVERY = 0.1, 4


@dataclass(frozen=True, slots=True)
class GanProblem:
    """Images to imitate.

    Attributes:
        draw: (batch size, generator) → real images (n, 1, s, s) for training.
        held_out: real images that ``draw`` never gives.
        train: all, or a sample, of what ``draw`` draws from.
        features: images → rows on which the Fréchet distance is taken.
    """

    draw: Callable[[int, Rng], Tensor]
    held_out: Tensor
    train: Tensor
    features: Callable[[Tensor], NDArray[np.float64]]

    def distance(self, images: Tensor) -> float:
        """Fréchet distance of these images to the held-out ones."""
        return frechet_distance(self.features(images), self.features(self.held_out))


def digits_gan() -> GanProblem:
    """Handwritten digits that nobody wrote."""
    images, _ = digits.digits()
    train, test = images[: -digits.HELD_OUT], images[-digits.HELD_OUT :]

    def draw(size: int, rng: Rng) -> Tensor:
        return torch.from_numpy(train[rng.integers(0, len(train), size)])

    return GanProblem(draw, torch.from_numpy(test), torch.from_numpy(train), pixel_features)


def fractals_gan() -> GanProblem:
    """Julia sets of no polynomial."""
    train, test = (
        fractals.fractals(2400, 16, 1, kinds=("julia",))[0],
        fractals.fractals(400, 16, 2, kinds=("julia",))[0],
    )

    def draw(size: int, rng: Rng) -> Tensor:
        return torch.from_numpy(dihedral(train[rng.integers(0, len(train), size)], rng))

    return GanProblem(draw, torch.from_numpy(test), torch.from_numpy(train), pixel_features)


GANS: Mapping[str, Callable[[], GanProblem]] = {"digits_gan": digits_gan, "fractals_gan": fractals_gan}


def latents(recipe: Recipe, count: int = _LATENTS, seed: int = _LATENT_SEED) -> Tensor:
    """Standard normal latents (count, …) of a generator's input shape, a function of the seed."""
    return torch.randn(count, *recipe.input_shape, generator=torch.Generator().manual_seed(seed))


def train_pair(
    generator_recipe: Recipe, discriminator_recipe: Recipe, problem: GanProblem, steps: int | None = None
) -> tuple[nn.Module, nn.Module]:
    """Train both with the non-saturating logistic loss (Goodfellow et al., arXiv 1406.2661), one step each in turn."""
    steps = generator_recipe.steps if steps is None else steps
    generator = initialised(generator_recipe.config(), generator_recipe.seed).train()
    discriminator = initialised(discriminator_recipe.config(), discriminator_recipe.seed).train()
    rng = np.random.default_rng(generator_recipe.seed)
    noise = torch.Generator().manual_seed(generator_recipe.seed)
    optimizers = [
        torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, betas=(0.5, 0.99))
        for model, recipe in ((generator, generator_recipe), (discriminator, discriminator_recipe))
    ]
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(o, steps, o.defaults["lr"] / 10) for o in optimizers]
    size = generator_recipe.batch_size
    for step in range(steps):
        real = problem.draw(size, rng)
        fake = generator(torch.randn(size, *generator_recipe.input_shape, generator=noise))
        optimizers[1].zero_grad(set_to_none=True)
        loss = _discriminator_loss(discriminator(real), discriminator(fake.detach()))
        if step % PENALTY_EVERY == 0:
            loss = loss + PENALTY_EVERY * PENALTY / 2 * _gradient_penalty(discriminator, real)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers[1].step()
        optimizers[0].zero_grad(set_to_none=True)
        _generator_loss(discriminator(fake)).backward()  # type: ignore[no-untyped-call]
        optimizers[0].step()
        for schedule in schedules:
            schedule.step()
    return generator.eval(), discriminator.eval()


def _discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()


def _gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """R1: mean squared length of the logit's gradient at real images (Mescheder et al., arXiv 1801.04406)."""
    images = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def _generator_loss(fake: Tensor) -> Tensor:
    return nn.functional.softplus(-fake).mean()


def judge_generator(
    recipe: Recipe, model: nn.Module, discriminator: nn.Module, problem: GanProblem, batch_statistics: bool = False
) -> Judgement:
    """Loss against this discriminator, Fréchet distance to held-out images."""
    images = outputs_of(model, latents(recipe), batch_statistics)
    return Judgement(float(_generator_loss(outputs_of(discriminator, images))), problem.distance(images))


def judge_discriminator(model: nn.Module, images: Tensor, problem: GanProblem) -> Judgement:
    """Loss and area under the ROC curve on held-out real images and these generated ones."""
    real, fake = outputs_of(model, problem.held_out), outputs_of(model, images)
    return Judgement(float(_discriminator_loss(real, fake)), real_against_fake(real, fake))


def halves(recipes: Sequence[Recipe], problem: str) -> tuple[Recipe, Recipe]:
    """The generator's and the discriminator's recipe of one GAN.

    Raises:
        ValueError: there isn't exactly one of each.
    """
    pair = sorted((r for r in recipes if r.problem == problem), key=lambda r: r.task, reverse=True)
    if [r.task for r in pair] != ["GAN-Generator", "GAN-Discriminator"]:
        raise ValueError(f"{problem!r} needs one generator and one discriminator, found {[r.name for r in pair]}")
    return pair[0], pair[1]
