"""Training is a function of its seed, and its data and metrics are what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from samples.data import digits, fractals, maps, patches, photographs, scenes, textures
from samples.storage import load, read_weights, write_config, write_weights
from samples.train import main
from samples.training import gan, loop
from samples.training.metrics import ACCURACY, MEAN_IOU, PSNR, frechet_distance, real_against_fake
from samples.training.problems import digits_auto_encoding
from samples.training.recipes import RECIPES, recipe_of


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_training_is_a_function_of_the_seed() -> None:
    recipe, problem = recipe_of("digits-autoencoder"), digits_auto_encoding()
    first, second = (loop.train(recipe, problem, steps=4).state_dict() for _ in range(2))
    other = loop.train(replace(recipe, seed=99), problem, steps=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["encoder.0.0.0.weight"], other["encoder.0.0.0.weight"])


def test_gan_training_is_a_function_of_the_seed() -> None:
    generator, discriminator = gan.halves(RECIPES, "digits_gan")
    problem = gan.digits_gan()
    runs = [gan.train_pair(generator, discriminator, problem, steps=3) for _ in range(2)]
    for first, second in zip(*runs, strict=True):
        states = first.state_dict(), second.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_few_steps_lower_the_held_out_loss() -> None:
    recipe, problem = recipe_of("digits-autoencoder"), digits_auto_encoding()
    before = loop.judge(loop.initialised(recipe.config(), recipe.seed), problem, batch_statistics=True)
    after = loop.judge(loop.train(recipe, problem, steps=40), problem)
    assert after.loss < 0.5 * before.loss


@pytest.mark.parametrize(("dtype", "shards"), [("float32", 1), ("float16", 1), ("bfloat16", 2)])
def test_stored_weights_come_back(tmp_path: Path, dtype: str, shards: int) -> None:
    recipe = replace(recipe_of("digits-resnet"), dtype=dtype, shards=shards)
    model = loop.initialised(recipe.config(), 5)
    write_config(recipe.config(), tmp_path)
    write_weights(model, tmp_path, "float32", 3 - shards)  # replaced without a trace by the next line
    write_weights(model, tmp_path, dtype, shards)
    assert len(list(tmp_path.glob("*.safetensors"))) == shards
    stored = read_weights(tmp_path)
    for name, tensor in model.state_dict().items():
        expected = tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
        assert torch.equal(stored[name], expected)
    assert load(tmp_path).training is False


def test_unknown_model_ends_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "digits-vit"])
    assert "no sample model is called 'digits-vit'; there are digits-resnet" in capsys.readouterr().err


MAKERS: dict[str, Callable[[int], tuple[NDArray[np.float32], NDArray[Any]]]] = {
    "fractals": lambda seed: fractals.fractals(16, 32, seed),
    "textures": lambda seed: textures.textures(20, 32, seed, held_out=False),
    "mosaics": lambda seed: textures.mosaics(6, 48, seed, held_out=True),
    "maps": lambda seed: maps.maps(6, 48, seed),
    "scenes": lambda seed: scenes.scenes(6, 48, seed),
}


@pytest.mark.parametrize("make", list(MAKERS))
def test_procedural_data_is_seeded_and_in_range(make: str) -> None:
    images, targets = MAKERS[make](3)
    again, targets_again = MAKERS[make](3)
    other, _ = MAKERS[make](4)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.isfinite(targets.astype(np.float64)).all()
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(targets, targets_again)
    assert not np.array_equal(images, other)
    assert (images.std(axis=(1, 2, 3)) > 0.01).all()  # none is blank


def test_every_class_occurs_equally_often() -> None:
    labels = fractals.fractals(32, 16, 0)[1]
    np.testing.assert_array_equal(np.bincount(labels), np.full(len(fractals.CLASSES), 4))
    labels = textures.textures(30, 16, 0, held_out=True)[1]
    np.testing.assert_array_equal(np.bincount(labels), np.full(len(textures.CLASSES), 3))


def test_digits_are_enlarged_not_changed() -> None:
    images, labels = digits.digits()
    assert images.shape == (1797, 1, 16, 16)
    assert set(labels) == set(range(10))
    from sklearn.datasets import load_digits

    halved = images[:, 0].reshape(1797, 8, 2, 8, 2).mean(axis=(2, 4))
    assert np.corrcoef(halved.ravel(), load_digits().images.ravel())[0, 1] > 0.97


def test_held_out_photograph_is_not_among_the_training_ones() -> None:
    (held_out,) = photographs.held_out_photographs()
    assert not any(np.array_equal(held_out, image) for image in photographs.training_photographs())


def test_patches_come_from_the_image() -> None:
    image = np.arange(3 * 20 * 30, dtype=np.float32).reshape(3, 20, 30)
    for patch in patches.random_patches([image], 5, 8, np.random.default_rng(0), augment=False):
        y, x = divmod(int(patch[0, 0, 0]), 30)
        np.testing.assert_array_equal(patch, image[:, y : y + 8, x : x + 8])


def test_depth_sensor_has_holes_and_noise_growing_with_depth() -> None:
    depths = np.broadcast_to(np.array([2.0, 8.0], dtype=np.float32)[:, None, None, None], (2, 1, 64, 64))
    sensed = scenes.sensed(depths, np.random.default_rng(0))
    assert 0.05 < (sensed == 0).mean() < 0.11
    near, far = (part[part > 0].std() for part in sensed)
    assert far / near == pytest.approx(16, rel=0.1)


def test_metrics_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [0.0, 5.0]])
    targets = torch.tensor([0, 1, 1, 1])
    assert ACCURACY.measure(logits, targets) == 0.75
    # Class 0: one of two; class 1: two of three.
    assert MEAN_IOU.measure(logits[:, :, None, None], targets[:, None, None]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    zeros = torch.zeros(2, 1, 4, 4)
    assert PSNR.measure(zeros + 0.1, zeros) == pytest.approx(20.0, abs=1e-4)
    assert real_against_fake(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.5])) == 0.75


def test_frechet_distance_of_two_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((200_000, 2))
    second = 3 * rng.standard_normal((200_000, 2)) + np.array([1.0, 0.0])
    # |difference of means|² + Σ (σ₁ − σ₂)² = 1 + 2 · 4
    assert frechet_distance(first, second) == pytest.approx(9.0, rel=0.02)
    assert frechet_distance(first, first) == pytest.approx(0.0, abs=1e-6)
