"""Models that descend from a sample model, each in the way that models on the Hub do: trained on, averaged, folded …"""

from __future__ import annotations

import copy
import json

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from samples import SAMPLES_ROOT
from samples.architectures import build
from tests.stores import Model, chain

BASE = "digits-resnet"


def base() -> nn.Module:
    """The sample model, trained."""
    folder = SAMPLES_ROOT / BASE
    model = build(json.loads((folder / "config.json").read_text()))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


def kernels(model: nn.Module) -> dict[str, np.ndarray]:
    """Its 3x3 weights by name."""
    return {
        name: each.weight.detach().numpy()
        for name, each in model.named_modules()
        if isinstance(each, nn.Conv2d) and each.kernel_size == (3, 3)
    }


def trained_on(model: nn.Module, rate: float, steps: int = 12, frozen: int = 0) -> tuple[nn.Module, nn.Module]:
    """A copy after some steps towards other labels of other pictures, and the running average of its weights.

    The first ``frozen`` convolutions are not trained.
    """
    model, averaged = copy.deepcopy(model).train(), copy.deepcopy(model)
    for convolution in [each for each in model.modules() if isinstance(each, nn.Conv2d)][:frozen]:
        convolution.weight.requires_grad_(False)
    torch.manual_seed(1)
    inputs, targets = torch.randn(64, 1, 16, 16), torch.randint(0, 10, (64,))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), model.parameters(), strict=True):
                mean.lerp_(now, 0.3)
    return model.eval(), averaged.eval()


def family() -> list[Model]:
    """Nine of one lineage, and one of the same architecture that was never one of them."""
    original = base()
    weights = kernels(original)
    names = {f"net.{i}.kernel": weight for i, weight in enumerate(weights.values())}
    factors = np.random.default_rng(2)
    folded = {
        name: weight
        * factors.choice([-1, 1], len(weight))[:, None, None, None]
        * factors.uniform(0.2, 2, (len(weight), 1, 1, 1))
        for name, weight in weights.items()
    }
    tuned, averaged = trained_on(original, 3e-3)
    again, _ = trained_on(tuned, 3e-3)
    frozen, _ = trained_on(original, 3e-2, steps=25, frozen=6)
    stranger = copy.deepcopy(original)
    torch.manual_seed(3)
    for each in stranger.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight)
    stranger, _ = trained_on(stranger, 3e-3, 30)
    return [
        chain("base", weights),
        chain("reupload", names),
        chain("in half precision", {name: weight.astype(np.float16) for name, weight in weights.items()}),
        chain("folded", folded),
        chain("tuned", kernels(tuned)),
        chain("averaged", kernels(averaged)),
        chain("tuned again", kernels(again)),
        chain("frozen half", kernels(frozen)),
        chain(
            "encoder of another", dict(list(kernels(tuned).items())[:7]) | {"head": factors.normal(size=(9, 24, 3, 3))}
        ),
        chain("stranger", kernels(stranger)),
    ]
