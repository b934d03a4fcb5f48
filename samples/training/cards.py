"""Model cards: README.md with YAML front matter, as on the Hub."""

from __future__ import annotations

from typing import Any

import yaml
from torch import nn

from samples.training.recipes import Recipe
from samples.training.results import Training

LIBRARY = "cnn-filter-shift"


def card(recipe: Recipe, training: Training, model: nn.Module) -> str:
    """The whole README.md of one model."""
    front = yaml.safe_dump(_front_matter(recipe, training), sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{front}---\n\n{_body(recipe, training, model)}"


def _front_matter(recipe: Recipe, training: Training) -> dict[str, Any]:
    facts = training.as_json()
    metric = {"type": training.metric, "name": f"{training.metric} on held-out data", "value": facts["metric_value"]}
    front: dict[str, Any] = {"license": "apache-2.0", "library_name": LIBRARY}
    if recipe.pipeline_tag is not None:
        front["pipeline_tag"] = recipe.pipeline_tag
    return front | {
        "datasets": [recipe.dataset_tag],
        "tags": ["cnn", "sample", recipe.family.lower().replace(" ", "-"), recipe.visual_category],
        "metrics": [training.metric],
        "task": recipe.task,
        "visual_category": recipe.visual_category,
        "training_dataset": recipe.training_dataset,
        "architecture": recipe.architecture,
        "family": recipe.family,
        "model-index": [
            {
                "name": recipe.name,
                "results": [
                    {
                        "task": {"type": recipe.pipeline_tag or "other", "name": recipe.task},
                        "dataset": {"type": recipe.dataset_tag, "name": recipe.training_dataset, "split": "held-out"},
                        "metrics": [metric],
                    }
                ],
            }
        ],
    }


def _body(recipe: Recipe, training: Training, model: nn.Module) -> str:
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    filters = sum(
        m.weight.shape[0] * m.weight.shape[1]
        for m in convolutions
        if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    )
    parameters = sum(p.numel() for p in model.parameters())
    facts = training.as_json()
    unit = f" {training.metric_unit}" if training.metric_unit else ""
    better = "higher" if training.higher_is_better else "lower"
    images = "patches cut at random" if training.train_images is None else f"{training.train_images} images"
    stored = recipe.dtype if recipe.shards == 1 else f"{recipe.dtype}, {recipe.shards} shards"
    return f"""# {recipe.name}

A small CNN of the CNN filter shift project, trained on a CPU from nothing, so that the project has real filters
without a network. Not meant for any other use.

| | |
|---|---|
| Task | {recipe.task} |
| Visual category | {recipe.visual_category} |
| Data | {recipe.training_dataset}; {images}, {training.held_out_images} held out |
| Architecture | {recipe.architecture} (follows {recipe.family}), input {" x ".join(map(str, recipe.input_shape))} |
| Size | {len(convolutions)} convolutions, {filters} filters of 3x3, {parameters} parameters, stored as {stored} |
| Training | {training.steps} steps of {training.batch_size}, {training.optimizer}, \
learning rate {training.learning_rate:g} at most, seed {training.seed}, torch {training.torch} |

Measured on held-out data, on the weights as stored:

| | loss ({training.loss}) | {training.metric}{unit} ({better} is better) |
|---|---|---|
| before training | {facts["loss_before"]:.4g} | |
| after training | {facts["loss_after"]:.4g} | **{facts["metric_value"]:.4g}** |
| untrained twin (other seed) | | {facts["metric_untrained_twin"]:.4g} |
| for comparison: {training.baseline} | | {facts["metric_baseline"]:.4g} |

Untrained networks are judged with each batch's own statistics in their norms, as they have no others.

Made again by `python -m samples.train --only {recipe.name}`; built by `samples.architectures.build(config)`.
"""
