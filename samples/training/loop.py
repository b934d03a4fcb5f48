"""Training one model for a supervised problem, and judging it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from samples.architectures import build
from samples.training.forgetting import forgetful_adamw
from samples.training.metrics import LOSSES
from samples.training.problems import Problem
from samples.training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Judgement:
    """Loss and metric of one model on held-out data."""

    loss: float
    metric: float


def initialised(config: Mapping[str, Any], seed: int) -> nn.Module:
    """A new model: Kaiming normal weights (arXiv 1502.01852), zero biases, unit norms, a function of the seed."""
    torch.manual_seed(seed)
    model = build(config)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


@torch.no_grad()
def outputs_of(model: nn.Module, inputs: Tensor, batch_statistics: bool = False) -> Tensor:
    """The model's outputs for all inputs, in batches of 100.

    ``batch_statistics``: let the norms use each batch's own statistics. An untrained model has no others, so this is
    the fair way to judge it; the model's running statistics are disturbed, so it must not be used afterwards.
    """
    model.train(batch_statistics)
    return torch.cat([model(part) for part in torch.split(inputs, 100)])


def judge(model: nn.Module, problem: Problem, batch_statistics: bool = False) -> Judgement:
    """Loss and metric on the problem's held-out data."""
    inputs, targets = problem.held_out
    outputs = outputs_of(model, inputs, batch_statistics)
    return Judgement(float(LOSSES[problem.loss](outputs, targets)), problem.metric.measure(outputs, targets))


def train(recipe: Recipe, problem: Problem, steps: int | None = None) -> nn.Module:
    """Train a model from its seed; ``steps`` overrides the recipe's. The same seed on the same machine and thread
    count gives the same bits."""
    steps = recipe.steps if steps is None else steps
    model = initialised(recipe.config(), recipe.seed).train()
    rng = np.random.default_rng(recipe.seed)
    one_cycle = partial(
        torch.optim.lr_scheduler.OneCycleLR, max_lr=recipe.learning_rate, total_steps=steps, pct_start=0.2
    )
    optimizer, schedule = forgetful_adamw(model, one_cycle, steps, recipe.forgetting, lr=recipe.learning_rate)
    loss_of = LOSSES[problem.loss]
    for _ in range(steps):
        inputs, targets = problem.draw(recipe.batch_size, rng)
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
        # Without norm layers (EDSR, ESPCN, RED-Net) an early step can be very long.
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()
