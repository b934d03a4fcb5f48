"""Weight decay that makes a short training forget its initialisation.

A few hundred steps move a network far enough to do its task, but hardly its kernels: they keep the look of the random
numbers they began with (a variance entropy at the random threshold of arXiv 2203.15331), and a study of learned filters
would find none. Long trainings forget by themselves. Here the decay is set so that, whatever the number of steps, the
same small share of the initialisation is left at the end. GANs do without: their generators collapse under it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

#: Usual: exp(-3.5), 3 % of the initialisation, would be left if nothing were learned.
FORGETTING = 3.5

Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


def forgetful_adamw(
    model: nn.Module, schedule: Schedule, steps: int, forgetting: float, **options: Any
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW (arXiv 1711.05101) and its schedule, decaying convolution kernels alone.

    Decoupled decay multiplies a kernel by (1 - rate * decay) in each step, so its sum over the schedule's rates fixes
    what is left: decay = ``forgetting`` / sum of the rates leaves exp(-``forgetting``) of the beginning.
    """
    kernels = [parameter for parameter in model.parameters() if parameter.ndim == 4]
    others = [parameter for parameter in model.parameters() if parameter.ndim != 4]
    groups = [{"params": kernels, "weight_decay": forgetting / _sum_of_rates(schedule, steps, options)}]
    optimizer = torch.optim.AdamW([*groups, {"params": others, "weight_decay": 0.0}], **options)
    return optimizer, schedule(optimizer)


def _sum_of_rates(schedule: Schedule, steps: int, options: dict[str, Any]) -> float:
    """By running the schedule once with nothing to train."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], **options)
    running = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        running.step()
    return math.fsum(rates)
