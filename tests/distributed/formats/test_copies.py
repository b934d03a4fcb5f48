"""Copies of a network in its own checkpoint are told by values: real modules, real averages, no hand-made agreement."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from distributed.formats import open_checkpoint
from tests.distributed.formats.helpers import CountingFile, open_paths

Tensors = dict[str, torch.Tensor]


def network(seed: int, width: int = 8) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, groups=2),
        nn.Conv2d(width, 12, 1),
        nn.Conv2d(12, 12, 3, groups=12),
        nn.Flatten(),
        nn.Linear(12, 4),
    )


def state(module: nn.Module) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def trained(module: nn.Module, averaged: AveragedModel | None = None, steps: int = 300) -> nn.Module:
    """A random walk with a pull: what gradients do to weights, without the time they take."""
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for _ in range(steps):
            for weight in module.parameters():
                noise = torch.randn(weight.shape, generator=generator)
                weight.add_(0.01 * noise * weight.std(correction=0) - 0.001 * weight)
            if averaged is not None:
                averaged.update_parameters(module)
    return module


@lru_cache
def model_and_average(decay: float | None = 0.999) -> tuple[Tensors, AveragedModel]:
    module = network(0)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay) if decay else None)
    trained(module, average)
    return state(module), average


Opened = Callable[..., tuple[Tensors, tuple[str, ...]]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """The convolutions and notes of a checkpoint saved by torch; a flat one says the same as safetensors."""

    def read(path: Path, **options: Any) -> tuple[Tensors, tuple[str, ...]]:
        with open_paths(path, **options) as checkpoint:
            names = [entry.name for entry in checkpoint.entries if len(entry.shape) == 4]
            return dict(checkpoint.read(names)), tuple(checkpoint.notes)

    def write_and_read(tree: Any, **options: Any) -> tuple[Tensors, tuple[str, ...]]:
        torch.save(tree, tmp_path / "model.pt")
        found, notes = read(tmp_path / "model.pt", **options)
        if isinstance(tree, dict) and all(isinstance(value, torch.Tensor) for value in tree.values()):
            flat = {name: tensor.clone() for name, tensor in tree.items()}
            safetensors.torch.save_file(flat, tmp_path / "model.safetensors")
            again, notes_again = read(tmp_path / "model.safetensors", **options)
            same(again, found)
            assert len(notes) == len(notes_again)
        return found, notes

    return write_and_read


def same(found: Tensors, *expected: Tensors) -> None:
    """The 4-D tensors are those of the expected states, whatever they are called."""
    ours = sorted(tuple(t.flatten().tolist()) for t in found.values())
    assert ours == sorted(tuple(t.flatten().tolist()) for s in expected for t in s.values() if t.ndim == 4)


AVERAGES: dict[str, Callable[[Tensors, Tensors, Tensors], Any]] = {
    "AveragedModel": lambda raw, ema, module: {"model": raw, "swa_model": module, "epoch": 3},
    "AveragedModel first": lambda raw, ema, module: {"swa_model": module, "model": raw},
    "list": lambda raw, ema, module: [raw, {"state": {}, "param_groups": [{}]}, 3, ema],
    "list, the network second": lambda raw, ema, module: [3, raw, None, ema],
    "tuple of AveragedModel": lambda raw, ema, module: (raw, module),
    "a name nobody knows": lambda raw, ema, module: {"model": raw, "m2": ema},
    "Gs": lambda raw, ema, module: {"G": raw, "Gs": ema},
    "netG_avg": lambda raw, ema, module: {"netG": raw, "netG_avg": ema},
    "g_running": lambda raw, ema, module: {"generator": raw, "g_running": ema},
    "modelEMA": lambda raw, ema, module: {"model": raw, "modelEMA": ema},
    "below an ema": lambda raw, ema, module: {
        "model": raw,
        "ema": prefixed("ema_model", ema) | prefixed("online_model", raw) | {"initted": torch.tensor(True)},
    },
    "ema_pytorch flat": lambda raw, ema, module: (
        prefixed("online_model", raw) | prefixed("ema_model", ema) | {"step": torch.tensor(7), "initted": torch.ones(1)}
    ),
    "flat, dotted decay": lambda raw, ema, module: prefixed("model", raw) | prefixed("ema_0.999", ema),
    "target network": lambda raw, ema, module: prefixed("policy_net", raw) | prefixed("target_net", ema),
    "online and target": lambda raw, ema, module: (
        prefixed("module.online_encoder", raw) | prefixed("module.target_encoder", ema)
    ),
    "bare list of an average": lambda raw, ema, module: {
        "model": raw,
        "ema": {"decay": 0.999, "shadow_params": [t for n, t in ema.items() if "running" not in n and t.ndim]},
    },
    "inside": lambda raw, ema, module: raw | prefixed("ema", ema),
    "beside others": lambda raw, ema, module: {"net": raw, "ema": {"module": ema}, "fc2": {"weight": torch.ones(2, 2)}},
}


@pytest.mark.parametrize("case", AVERAGES)
def test_an_average_is_left_out_whatever_it_is_called(case: str, opened: Opened) -> None:
    raw, average = model_and_average()
    tree = AVERAGES[case](raw, state(average.module), state(average))
    found, notes = opened(tree)
    same(found, raw)
    assert sum("copy" in note for note in notes) == (2 if case == "below an ema" else 1)
    assert "correlation 0.9" in " ".join(notes)
    found, notes = opened(tree, prefer_ema=True)
    same(found, state(average.module))
    assert any("took" in note for note in notes)


def test_stochastic_weight_averaging(opened: Opened) -> None:
    raw, average = model_and_average(None)
    same(opened({"state_dict": raw, "averaged_model": state(average)})[0], raw)
    alone, notes = opened(state(average))
    same(alone, state(average.module))
    assert list(alone) == [name for name, tensor in raw.items() if tensor.ndim == 4]
    assert notes == ("left out 'n_averaged': a single value beside the model",)
    for tree in ({"swa_model": state(average)}, {"best_ema_state_dict": {"step": torch.tensor(3)} | raw}):
        assert list(opened(tree)[0]) == list(alone)


INDEPENDENT: dict[str, Callable[[Tensors, Tensors], Any]] = {
    "shadow detection": lambda a, b: prefixed("image_encoder", a) | prefixed("shadow_encoder", b),
    "a network called ema": lambda a, b: prefixed("block.branch", a) | prefixed("block.ema", b),
    "two discriminators": lambda a, b: {"netD_A": a, "netD_B": b},
    "two generators, one called target": lambda a, b: {"G_source": a, "G_target": b},
    "list of an ensemble": lambda a, b: [a, b],
    "numbered": lambda a, b: {"model_1": a, "model_2": b},
    "by number": lambda a, b: {1: a, 2: b},
    "folds": lambda a, b: {"fold_1": a, "fold_2": b},
    "teacher and student of the same shape, both whole": lambda a, b: {"slow": a, "fast": b},
    "momentum": lambda a, b: prefixed("momentum_branch", a) | prefixed("appearance_branch", b),
    "running": lambda a, b: {"walking": a, "running": b},
    "gradients as an input": lambda a, b: prefixed("rgb_branch", a) | prefixed("grad_branch", b),
}


@lru_cache
def independent() -> tuple[Tensors, Tensors]:
    return state(trained(network(1))), state(trained(network(2)))


@pytest.mark.parametrize("case", INDEPENDENT)
def test_networks_trained_apart_are_two(case: str, opened: Opened) -> None:
    first, second = independent()
    found, notes = opened(INDEPENDENT[case](first, second))
    same(found, first, second)
    assert notes == ()


def test_what_independent_networks_share_is_no_copy(opened: Opened) -> None:
    """Kernels with the same bright centre correlate plainly; centred over the outputs they do not."""
    first, second = network(1), network(2)
    with torch.no_grad():
        for module in (first, second):
            for weight in module.parameters():
                if weight.ndim == 4 and weight.shape[-1] == 3:
                    weight[..., 1, 1] += 2
    plain = torch.corrcoef(torch.stack([first[2].weight.flatten(), second[2].weight.flatten()]))[0, 1]
    assert plain > 0.9
    found, _ = opened(prefixed("net", state(first)) | prefixed("net_ema", state(second)))
    same(found, state(first), state(second))


def test_a_shared_beginning_is_no_copy_once_the_branches_went_their_ways(
    opened: Opened,
) -> None:
    start = network(1)
    rgb, depth = state(trained(copy.deepcopy(start), steps=2000)), state(start)
    found, _ = opened(prefixed("rgb_stream", rgb) | prefixed("depth_stream", depth))
    same(found, rgb, depth)


def states() -> Iterator[tuple[str, Callable[[Tensors, Tensors], Any], int]]:
    """Case, tree of an older and a newer state, which of the two counts."""
    yield "epochs", lambda old, new: {"epoch_9": old, "epoch_10": new}, 1
    yield "epochs, newest first", lambda old, new: {"epoch_10": new, "epoch_9": old}, 1
    yield "counted without a word", lambda old, new: {1: old, 2: new}, 1
    yield "best", lambda old, new: {"best_state_dict": old, "state_dict": new}, 1
    yield "best and last", lambda old, new: {"last": new, "best": old}, 1
    yield "network and snapshot", lambda old, new: {"model": new, "model_epoch_3": old}, 1
    yield "snapshots in a list", lambda old, new: {"snapshots": [old, new]}, 1
    yield "by epoch", lambda old, new: {"epoch": {9: old, 10: new}}, 1
    yield "flat", lambda old, new: prefixed("epoch_1", old) | prefixed("epoch_2", new), 1


@pytest.mark.parametrize(("tree", "kept"), [case[1:] for case in states()], ids=[case[0] for case in states()])
def test_of_several_states_of_a_network_one_counts(
    tree: Callable[[Tensors, Tensors], Any], kept: int, opened: Opened
) -> None:
    module = network(3)
    old = state(module)
    new = state(trained(module))
    for prefer_ema in (False, True):
        found, notes = opened(tree(old, new), prefer_ema=prefer_ema)
        same(found, (old, new)[kept])
        (note,) = notes
        assert "another state of the same model" in note


def test_steps_of_one_network_are_no_states(opened: Opened) -> None:
    """An unrolled network whose steps began alike: beside them stand other layers."""
    module = network(3)
    first, second = state(module), state(trained(module))
    head = {"head.weight": torch.randn(4, 8, 3, 3)}
    found, notes = opened(head | prefixed("steps.1", first) | prefixed("steps.2", second))
    same(found, first, second, head)
    assert notes == ()


NO_WEIGHTS: dict[str, Callable[[Tensors, Tensors], Any]] = {
    "gradients": lambda raw, other: {"model": raw, "grads": other},
    "gradients of some": lambda raw, other: {
        "model": raw,
        "grad": {n: t for n, t in other.items() if "running" not in n},
    },
    "moments": lambda raw, other: {"model": raw, "exp_avg": other},
    "momentum": lambda raw, other: {"model": raw, "momentum": other},
    "average of gradients": lambda raw, other: {"model": raw, "ema_grad": other},
    "gradients beside weights": lambda raw, other: raw | {f"{n}.grad": t for n, t in other.items() if t.ndim > 1},
    "without names": lambda raw, other: {"net": raw, "d": [t for t in other.values() if t.ndim > 1]},
    "Fisher information": lambda raw, other: {"net": raw, "fisher": {n: t.square() for n, t in other.items()}},
    "masks": lambda raw, other: {"net": raw, "kept": {n: (t > 0).to(t.dtype) for n, t in other.items()}},
    "masks first": lambda raw, other: {"kept": {n: (t > 0).to(t.dtype) for n, t in other.items()}, "net": raw},
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_gradients_and_the_like_are_no_weights(case: str, opened: Opened) -> None:
    raw, other = state(network(1)), state(network(2))
    found, notes = opened(NO_WEIGHTS[case](raw, other))
    same(found, raw)
    (note,) = notes
    assert note.startswith("left out")


def test_many_copies_of_one_kind_are_one_note(opened: Opened) -> None:
    raw = {f"blocks.{i}.conv.{n}": t for i in range(6) for n, t in state(network(i)).items()}
    averages = {name.replace(".conv.", ".conv_ema."): 0.99 * tensor for name, tensor in raw.items()}
    found, notes = opened(raw | averages)
    same(found, raw)
    assert len(notes) == 1
    assert "and 4 more" in notes[0]


def test_what_was_asked_for_stays(opened: Opened) -> None:
    raw, average = model_and_average()
    ema = state(average.module)
    tree = prefixed("model", raw) | prefixed("model_ema", ema)
    found, notes = opened(tree, wanted=lambda name: name.startswith("model_ema."))
    same(found, raw, ema)
    assert notes == ()


def test_few_values_are_read(tmp_path: Path) -> None:
    """Of a large pair of copies only some leading rows of a few tensors."""
    generator = torch.Generator().manual_seed(0)
    raw = {f"{i}.weight": torch.randn(256, 128, 3, 3, generator=generator) for i in range(8)}
    path = tmp_path / "large.safetensors"
    safetensors.torch.save_file(prefixed("net", raw) | prefixed("net_ema", {n: t + 0.01 for n, t in raw.items()}), path)
    source = CountingFile(path, path.name)
    with open_checkpoint([source]) as checkpoint:
        assert len(checkpoint.entries) == 8
    assert source.bytes_read < 0.2 * path.stat().st_size
    assert [len(ranges) for ranges in source.calls] == [1, 8]
