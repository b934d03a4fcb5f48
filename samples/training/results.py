"""What training one model came to: the numbers of its ``config.json`` and card."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from samples.storage import load
from samples.training import gan, loop
from samples.training.gan import GANS, GanProblem
from samples.training.loop import Judgement
from samples.training.metrics import FRECHET, ROC_AUC, Metric
from samples.training.problems import PROBLEMS, Problem
from samples.training.recipes import RECIPES, Recipe

#: The untrained twin differs from the model's own beginning only by its seed.
TWIN_SEED_OFFSET = 100


@dataclass(frozen=True, slots=True)
class Training:
    """The ``training`` part of ``config.json``; losses and metrics are on held-out data, of the weights as stored."""

    seed: int
    steps: int
    batch_size: int
    optimizer: str
    learning_rate: float
    loss: str
    loss_before: float
    loss_after: float
    metric: str
    metric_unit: str
    higher_is_better: bool
    metric_value: float
    metric_untrained_twin: float
    baseline: str
    metric_baseline: float
    train_images: int | None
    held_out_images: int
    torch: str

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON, numbers rounded to six digits."""
        return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in asdict(self).items()}


def judge_stored(recipe: Recipe, root: Path, problem: Problem | GanProblem | None = None) -> Judgement:
    """Loss and metric of the stored model ``root/recipe.name``; a GAN's half is judged with its stored other half."""
    model = load(root / recipe.name)
    if recipe.problem not in GANS:
        return loop.judge(model, problem if isinstance(problem, Problem) else PROBLEMS[recipe.problem]())
    data = problem if isinstance(problem, GanProblem) else GANS[recipe.problem]()
    generator, discriminator = gan.halves(RECIPES, recipe.problem)
    if recipe is generator:
        return gan.judge_generator(recipe, model, load(root / discriminator.name), data)
    images = loop.outputs_of(load(root / generator.name), gan.latents(generator))
    return gan.judge_discriminator(model, images, data)


def of_supervised(recipe: Recipe, root: Path, problem: Problem) -> Training:
    """Judge a stored supervised model, its beginning and its untrained twin."""
    before = loop.judge(loop.initialised(recipe.config(), recipe.seed), problem, batch_statistics=True)
    twin_model = loop.initialised(recipe.config(), recipe.seed + TWIN_SEED_OFFSET)
    twin = loop.judge(twin_model, problem, batch_statistics=True)
    after = judge_stored(recipe, root, problem)
    return _training(
        recipe, (before, after, twin), problem.metric, problem.loss, problem.baseline, problem.train_images,
        len(problem.held_out[0]),
    )  # fmt: skip


def of_gan(recipe: Recipe, root: Path, problem: GanProblem) -> Training:
    """Judge one half of a stored GAN, its beginning and its untrained twin, each against the trained other half."""
    generator, discriminator = gan.halves(RECIPES, recipe.problem)
    start = loop.initialised(recipe.config(), recipe.seed)
    twin = loop.initialised(recipe.config(), recipe.seed + TWIN_SEED_OFFSET)
    after = judge_stored(recipe, root, problem)
    if recipe is generator:
        judge = load(root / discriminator.name)
        numbers = tuple(gan.judge_generator(recipe, m, judge, problem, batch_statistics=True) for m in (start, twin))
        metric, loss = FRECHET, "non-saturating logistic, against the trained discriminator"
        baseline = ("real training images", problem.distance(problem.train))
    else:
        images = loop.outputs_of(load(root / generator.name), gan.latents(generator))
        numbers = tuple(gan.judge_discriminator(m, images, problem) for m in (start, twin))
        metric, loss = ROC_AUC, "logistic, against the trained generator"
        baseline = ("a coin", 0.5)
    judged = (numbers[0], after, numbers[1])
    return _training(recipe, judged, metric, loss, baseline, len(problem.train), len(problem.held_out))


def _forgetful(recipe: Recipe) -> str:
    return f"AdamW, kernels decayed to {math.exp(-recipe.forgetting):.0%} of their beginning"


def _training(
    recipe: Recipe,
    judged: tuple[Judgement, Judgement, Judgement],
    metric: Metric,
    loss: str,
    baseline: tuple[str, float],
    train_images: int | None,
    held_out_images: int,
) -> Training:
    before, after, twin = judged
    return Training(
        seed=recipe.seed,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        optimizer=gan.OPTIMIZER if recipe.problem in GANS else _forgetful(recipe),
        learning_rate=recipe.learning_rate,
        loss=loss,
        loss_before=before.loss,
        loss_after=after.loss,
        metric=metric.name,
        metric_unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        metric_value=after.metric,
        metric_untrained_twin=twin.metric,
        baseline=baseline[0],
        metric_baseline=baseline[1],
        train_images=train_images,
        held_out_images=held_out_images,
        torch=torch.__version__,
    )
