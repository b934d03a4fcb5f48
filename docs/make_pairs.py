"""Make the pictures of paired models in docs/evidence.md again: python docs/make_pairs.py [FOLDER]

Trains ten pairs of a small ResNet on digits. The two of a pair begin with the same random weights and see
the same pictures in the same order; one is trained with weight decay, one without. Then analysis.pairs, as a user runs
it. A few minutes of CPU. ``FOLDER`` keeps what is trained and measured; without it nothing but the pictures stays.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.make_results import IMAGES, keep_picture, run
from samples.training import loop
from samples.training.problems import PROBLEMS
from samples.training.recipes import recipe_of

SEEDS = range(10)

#: What training would leave of the initialisation, were nothing learned: exp(-3.5) is 3 %, exp(0) all.
RECIPES = {"no decay": 0.0, "decay": 3.5}

PICTURES = ("drift_by_depth", "quality_by_depth")


def train(folder: Path) -> None:
    """A checkpoint a recipe and seed, and a manifest that says which is which."""
    torch.set_num_threads(1)
    small = {"in_channels": 1, "classes": 10, "widths": [16, 32, 48], "blocks": [1, 1, 1]}
    sample = replace(recipe_of("digits-resnet"), model=small, steps=200, batch_size=32)
    problem = PROBLEMS[sample.problem]()
    entries = []
    for seed in SEEDS:
        for name, forgetting in RECIPES.items():
            model = loop.train(replace(sample, seed=seed, forgetting=forgetting), problem)
            accuracy = loop.judge(model, problem).metric
            file = f"{name.replace(' ', '_')}_{seed}.pt"
            torch.save(model.state_dict(), folder / file)
            known = {"architecture": sample.architecture, "training_dataset": sample.training_dataset}
            entries.append({"file": file, "name": f"{name} {seed}", "recipe": name, "seed": seed, **known})
            print(f"{name} {seed}: accuracy {accuracy:.3f}", flush=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"models": entries}, sort_keys=False), encoding="utf-8")


def make(folder: Path) -> None:
    """Train, extract, compare, keep the pictures."""
    checkpoints, store = folder / "checkpoints", folder / "store"
    if not (checkpoints / "manifest.yaml").is_file():
        checkpoints.mkdir(parents=True, exist_ok=True)
        train(checkpoints)
    run("launch/extract.py", "source=local", f"source.path={checkpoints}", f"store.uri={store}")
    asked = ("match=[architecture,seed]", "contrast=recipe", "values=[no decay,decay]")
    run("-m", "analysis.pairs", f"store.uri={store}", *asked, f"out={folder / 'pairs'}")
    for name in PICTURES:
        keep_picture(folder / "pairs" / f"{name}.png", IMAGES / f"pairs_{name}.png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        make(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory(prefix="pairs-") as scratch:
            make(Path(scratch))
