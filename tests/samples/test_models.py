"""The stored sample models: complete, loadable, trained, small."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from samples import SAMPLES_ROOT
from samples.architectures import ARCHITECTURES, build, example_input
from samples.storage import INDEX, WEIGHTS, load, read_config, read_weights
from samples.training.loop import initialised
from samples.training.recipes import RECIPES, Recipe, recipe_of
from samples.training.results import judge_stored

FOLDERS = sorted(folder for folder in SAMPLES_ROOT.iterdir() if folder.is_dir())
every_model = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def front_matter(folder: Path) -> dict[str, object]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return dict(yaml.safe_load(text.split("---\n")[1]))


def convolutions(model: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]


def test_there_is_one_folder_for_each_recipe_and_nothing_else() -> None:
    assert [folder.name for folder in FOLDERS] == sorted(recipe.name for recipe in RECIPES)
    assert len(FOLDERS) >= 12


def test_tasks_and_categories_make_groups_to_compare() -> None:
    configs = [read_config(folder) for folder in FOLDERS]
    tasks = Counter(config["task"] for config in configs)
    categories = Counter(config["visual_category"] for config in configs)
    assert len(tasks) >= 5
    assert len(categories) >= 5
    assert min(categories.values()) >= 2
    assert sum(count >= 2 for count in tasks.values()) >= 5


def test_all_models_together_stay_under_twelve_megabytes() -> None:
    size = sum(file.stat().st_size for folder in FOLDERS for file in folder.iterdir())
    assert size <= 12e6


def test_half_precision_and_shards_occur() -> None:
    dtypes = Counter(
        next(tensor.dtype for tensor in read_weights(folder).values() if tensor.is_floating_point())
        for folder in FOLDERS
    )
    assert dtypes[torch.float16] == 1
    assert dtypes[torch.bfloat16] == 1
    sharded = [folder for folder in FOLDERS if (folder / INDEX).is_file()]
    assert [len(list(folder.glob("model-*-of-00002.safetensors"))) for folder in sharded] == [2]


@every_model
def test_folder_is_complete_and_consistent(folder: Path) -> None:
    config, front, recipe = read_config(folder), front_matter(folder), recipe_of(folder.name)
    assert (folder / WEIGHTS).is_file() != (folder / INDEX).is_file()
    assert config["model_type"] == "cnn-filter-shift-sample"
    assert config == recipe.config() | {"training": config["training"]}
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "cnn-filter-shift"
    assert front["datasets"]
    for key in ("task", "visual_category", "training_dataset", "family"):
        assert front[key] == config[key]
    assert front["architecture"] == config["architectures"][0]
    metric = front["model-index"][0]["results"][0]["metrics"][0]  # type: ignore[index]
    assert (metric["type"], metric["value"]) == (config["training"]["metric"], config["training"]["metric_value"])


@every_model
def test_stored_names_shapes_and_dtypes(folder: Path) -> None:
    config, weights = read_config(folder), read_weights(folder)
    load(folder)  # strict
    floating = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    assert floating == {getattr(torch, config["torch_dtype"])}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@every_model
def test_architecture_builds_on_the_meta_device_and_runs_there(folder: Path) -> None:
    config = read_config(folder)
    with torch.device("meta"):
        model = build(config).eval()
        output = model(*(torch.empty(shape) for shape in example_input(config)))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert output.shape[0] == 1
    assert 6 <= len(convolutions(model)) <= 14


@every_model
def test_real_output_is_finite_and_not_constant(folder: Path) -> None:
    config, model = read_config(folder), load(folder)
    inputs = [torch.rand(2, *shape[1:], generator=torch.Generator().manual_seed(0)) for shape in example_input(config)]
    with torch.no_grad():
        output = model(*inputs)
    assert torch.isfinite(output).all()
    assert not torch.equal(output[0], output[1])


@every_model
def test_every_convolution_has_learned(folder: Path) -> None:
    recipe = recipe_of(folder.name)
    before, after = initialised(recipe.config(), recipe.seed), load(folder)
    for (name, start), end in zip(
        ((n, m) for n, m in before.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)),
        convolutions(after),
        strict=True,
    ):
        moved = float((end.weight - start.weight).detach().norm() / start.weight.detach().norm())
        # Storing in bfloat16 alone moves weights by less than 0.4 %.
        assert moved > 0.02, f"{name} moved by {moved:.3%} of its length"


@every_model
def test_recorded_numbers_show_training(folder: Path) -> None:
    training = read_config(folder)["training"]
    assert training["loss_after"] < training["loss_before"]
    sign = 1 if training["higher_is_better"] else -1
    twin, value = training["metric_untrained_twin"], training["metric_value"]
    margin = {
        "accuracy": 0.5,
        "mean_iou": 0.4,
        "psnr": 3.0,
        "roc_auc": 0.1,
        "abs_rel": 0.5 * twin,
        "frechet_distance": 0.5 * twin,
    }
    assert sign * (value - twin) > margin[training["metric"]]
    if training["metric"] != "frechet_distance":  # whose comparison is the real images: out of reach
        assert sign * (value - training["metric_baseline"]) > 0


@pytest.mark.parametrize("name", ["digits-resnet", "digits-autoencoder", "digits-discriminator"])
def test_metric_is_what_the_stored_weights_give(name: str) -> None:
    training = read_config(SAMPLES_ROOT / name)["training"]
    judged = judge_stored(recipe_of(name), SAMPLES_ROOT)
    assert judged.metric == pytest.approx(training["metric_value"], rel=2e-3)
    assert judged.loss == pytest.approx(training["loss_after"], rel=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_metric_of_every_model_is_what_its_stored_weights_give(recipe: Recipe) -> None:
    training = read_config(SAMPLES_ROOT / recipe.name)["training"]
    judged = judge_stored(recipe, SAMPLES_ROOT)
    assert judged.metric == pytest.approx(training["metric_value"], rel=5e-3)


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match="unknown sample architecture 'VGG'; known are AutoEncoder"):
        build({"architectures": ["VGG"], "model": {}})


def test_every_architecture_is_used() -> None:
    assert {read_config(folder)["architectures"][0] for folder in FOLDERS} == set(ARCHITECTURES)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = SAMPLES_ROOT / "digits-resnet"
    config = read_config(source)
    config["model"]["widths"] = [24, 40, 48]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
    with pytest.raises(RuntimeError, match="size mismatch"):
        load(tmp_path)


def test_importing_samples_needs_no_torch() -> None:
    code = "import sys, samples; assert samples.SAMPLES_ROOT.is_dir(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SAMPLES_ROOT.parents[1], check=False).returncode == 0
