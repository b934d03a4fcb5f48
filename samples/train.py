"""Train the sample models again from nothing: ``python -m samples.train [--only NAME …] [--jobs N] [--out FOLDER]``.

Every model is trained by one thread from its own seed, several models side by side, so that the result depends neither
on the number of jobs nor on their order. Needs the ``test`` extra; no network.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from samples import SAMPLES_ROOT
from samples.architectures import build
from samples.storage import write_config, write_weights
from samples.training import gan, loop, results
from samples.training.cards import card
from samples.training.gan import GANS
from samples.training.problems import PROBLEMS
from samples.training.recipes import RECIPES, Recipe, recipe_of
from samples.training.results import Training


def train_problem(problem: str, root: Path) -> list[str]:
    """Train and store the model of one problem (a GAN's two models) under ``root``; a line on each for the terminal."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    started = time.process_time()
    recipes = [recipe for recipe in RECIPES if recipe.problem == problem]
    facts = _train_gan(problem, root) if problem in GANS else [(r, _train_supervised(r, root)) for r in recipes]
    for recipe, training in facts:
        folder = root / recipe.name
        write_config(recipe.config() | {"training": training.as_json()}, folder)
        (folder / "README.md").write_text(card(recipe, training, build(recipe.config())), encoding="utf-8")
    seconds = time.process_time() - started
    return [f"{_line(recipe, training)} · {seconds:.0f} s of CPU" for recipe, training in facts]


def _train_supervised(recipe: Recipe, root: Path) -> Training:
    problem = PROBLEMS[recipe.problem]()
    model = loop.train(recipe, problem)
    _store(recipe, model, root)
    return results.of_supervised(recipe, root, problem)


def _train_gan(name: str, root: Path) -> list[tuple[Recipe, Training]]:
    problem = GANS[name]()
    pair = gan.halves(RECIPES, name)
    for recipe, model in zip(pair, gan.train_pair(*pair, problem), strict=True):
        _store(recipe, model, root)
    return [(recipe, results.of_gan(recipe, root, problem)) for recipe in pair]


def _store(recipe: Recipe, model: torch.nn.Module, root: Path) -> None:
    folder = root / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    # Whatever is judged from here on is what was stored, in its stored precision.
    write_config(recipe.config(), folder)
    write_weights(model, folder, recipe.dtype, recipe.shards)


def _line(recipe: Recipe, training: Training) -> str:
    return (
        f"{recipe.name}: loss {training.loss_before:.4g} → {training.loss_after:.4g}, {training.metric} "
        f"{training.metric_value:.4g} (untrained twin {training.metric_untrained_twin:.4g}, {training.baseline} "
        f"{training.metric_baseline:.4g})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m samples.train", description="Train the sample models from nothing."
    )
    parser.add_argument("--only", metavar="NAME", action="append", help="a model (of a GAN: both halves); repeatable")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="models trained side by side")
    parser.add_argument("--out", type=Path, default=SAMPLES_ROOT, help="folder of the models (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: at least 1")
    try:
        chosen = [recipe_of(name) for name in options.only] if options.only else list(RECIPES)
    except ValueError as error:
        parser.error(str(error))
    # The longest first, so that no long one is left alone at the end.
    problems = sorted({r.problem for r in chosen}, key=lambda p: (p not in GANS, p))
    started = time.monotonic()
    # A process of its own for each problem: one thread each, and no state from one to the next.
    pool = ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with pool:
        for done in as_completed([pool.submit(train_problem, problem, options.out) for problem in problems]):
            print("\n".join(done.result()), flush=True)
    print(f"{len(chosen)} models in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
