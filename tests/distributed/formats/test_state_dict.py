from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch

from distributed.formats.agreement import rows_of
from distributed.formats.naming import natural_key, strip_prefixes
from distributed.formats.state_dict import select_state_dict
from tests.distributed.formats.helpers import open_paths

Tree = dict[str, Any]


def weights(offset: float = 0.0, prefix: str = "") -> dict[str, torch.Tensor]:
    """A small model's state dict, not in alphabetical order; ``offset`` tells copies apart."""
    return OrderedDict(
        {
            f"{prefix}stem.weight": torch.full((4, 3, 3, 3), 1 + offset),
            f"{prefix}stem.bias": torch.full((4,), 2 + offset),
            f"{prefix}bn.weight": torch.full((4,), 3 + offset),
            f"{prefix}bn.num_batches_tracked": torch.tensor(5),
            f"{prefix}body.0.weight": torch.full((8, 4, 3, 3), 4 + offset),
        }
    )


NAMES = list(weights())
ADAM = {"state": {0: {"exp_avg": torch.ones(4, 3, 3, 3), "exp_avg_sq": torch.ones(4, 3, 3, 3)}}, "param_groups": [{}]}


def select(tree: object, prefer_ema: bool = False) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    selection = select_state_dict(
        tree, torch.Tensor, sample=lambda tensors: [rows_of(t) for t in tensors], prefer_ema=prefer_ema
    )
    return dict(selection.tensors), selection.notes


def stem(tensors: dict[str, torch.Tensor], name: str = "stem.weight") -> float:
    return tensors[name].flatten()[0].item()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: {"state_dict": w, "epoch": 3, "best_prec1": 91.8},
        lambda w: {"model_state_dict": w, "optimizer_state_dict": ADAM, "stats": None},
        lambda w: {"model": w, "optim": ADAM, "scaler": {"scale": 1.0}, "lr_scheduler": {"last_epoch": 1}},
        lambda w: {"net": w, "acc": torch.tensor(0.9), "rng_state": torch.zeros(16, dtype=torch.uint8)},
        lambda w: {"state": {"model": {"state_dict": w}}, "optimizer": ADAM},
        lambda w: {"checkpoint": {"network": {"params": w}}},
        lambda w: {"netG": w, "optG": ADAM},
        lambda w: {"epoch": 1, "state_dict": w, "optimizer_states": [ADAM, ADAM], "callbacks": {"x": torch.ones(3)}},
        lambda w: {"state_dict": {f"module.{k}": v for k, v in w.items()}},
        lambda w: {f"module.model.{k}": v for k, v in w.items()},
        lambda w: {"state_dict": {f"model._orig_mod.{k}": v for k, v in w.items()}},
        lambda w: {f"_orig_mod.module.{k}": v for k, v in w.items()},
        lambda w: {k.replace("body.", "body._orig_mod."): v for k, v in w.items()},
        lambda w: {b"state_dict": {k.encode(): v for k, v in w.items()}},
        lambda w: [{"weights": w}],
    ],
)
def test_wrappers_are_looked_through(wrap: Callable[[Tree], object]) -> None:
    tree = wrap(weights())
    tensors, _ = select(tree)
    expected = NAMES if not isinstance(tree, list) else [f"0.{name}" for name in NAMES]
    assert list(tensors) == expected


def test_everything_left_out_has_its_note() -> None:
    tree = {"model": weights(), "optimizer": ADAM, "scheduler": {"last": 1}, "grad_scaler": {"s": 2.0}, "loss": [1.0]}
    tree["callbacks"] = {"best": torch.ones(3)}
    tree["best_acc"] = torch.tensor(0.9)
    _, notes = select(tree)
    assert notes == (
        "left out optimizer state 'optimizer'",
        "left out scheduler or scaler state 'scheduler'",
        "left out scheduler or scaler state 'grad_scaler'",
        "left out training state 'callbacks'",
        "left out 'best_acc': a single value beside the model",
    )


def test_an_optimizer_is_known_by_its_structure_whatever_its_key() -> None:
    tensors, notes = select({"model": weights(), "second": ADAM, "several": [ADAM, ADAM]})
    assert list(tensors) == NAMES
    assert len(notes) == 2


@pytest.mark.parametrize("key", ["optimal", "optimized", "optimum", "scheduled", "madame", "scaler_net"])
def test_keys_that_only_begin_like_training_state(key: str) -> None:
    tensors, notes = select({key: {"conv": torch.ones(4, 3, 3, 3)}})
    assert len(tensors) == 1
    assert notes == ()


@pytest.mark.parametrize(
    "key", ["optimizer_G_state", "optimizers", "gen_optim", "adamw_state", "lr_schedulers", "scaler"]
)
def test_keys_of_training_state(key: str) -> None:
    tensors, notes = select({"model": weights(), key: {"x": torch.ones(4, 3, 3, 3)}})
    assert list(tensors) == NAMES
    assert len(notes) == 1


def test_values_beside_the_model_do_not_change_its_names() -> None:
    tree = {"model": weights(), "hub": {"log": [torch.ones(3)], "mean": {"x": torch.ones(())}}, "head": weights(5)}
    tensors, notes = select(tree)
    assert list(tensors) == [f"model.{n}" for n in NAMES] + [f"head.{n}" for n in NAMES]
    assert notes == ("left out training state 'hub'",)


def test_sub_models_side_by_side_keep_their_names() -> None:
    tensors, _ = select({"netG": weights(prefix="module."), "netD": weights(7), "optG": ADAM, "optD": ADAM})
    assert list(tensors) == [f"netG.{n}" for n in NAMES] + [f"netD.{n}" for n in NAMES]
    assert stem(tensors, "netD.stem.weight") == 8
    tensors, _ = select({"state_dict": {"encoder": weights(), "decoder": weights(1)}, "epoch": 1})
    assert next(iter(tensors)) == "encoder.stem.weight"
    assert len(tensors) == 2 * len(NAMES)


def test_two_generators_of_one_shape_are_two_models_but_a_best_state_is_not() -> None:
    tensors, notes = select({"netG_A": weights(), "netG_B": weights(1)})
    assert len(tensors) == 2 * len(NAMES)
    assert notes == ()
    tensors, notes = select({"model": weights(), "best_model": weights(1)})
    assert list(tensors) == NAMES
    assert stem(tensors) == 1
    assert notes == ("left out 'best_model' (5 tensors): another state of the same model",)


COPIES = [
    lambda raw, ema: {"params": raw, "params_ema": ema},
    lambda raw, ema: {"params_ema": ema, "params": raw},
    lambda raw, ema: {"state_dict": raw, "state_dict_ema": ema, "optimizer": ADAM},
    lambda raw, ema: {"model": raw, "ema": {"module": ema}},
    lambda raw, ema: {"model": raw, "model_ema": {f"module.{k}": v for k, v in ema.items()}},
    lambda raw, ema: {**raw, **{f"ema.{k}": v for k, v in ema.items()}},
    lambda raw, ema: {f"model.{k}": v for k, v in raw.items()} | {f"model_ema.{k}": v for k, v in ema.items()},
    lambda raw, ema: {f"student.{k}": v for k, v in raw.items()} | {f"teacher.{k}": v for k, v in ema.items()},
    lambda raw, ema: (
        {f"module.encoder_q.{k}": v for k, v in raw.items()} | {f"module.encoder_k.{k}": v for k, v in ema.items()}
    ),
    # latent diffusion's LitEma writes names without dots, beside two values of its own
    lambda raw, ema: (
        {f"model.net.{k}": v for k, v in raw.items()}
        | {f"model_ema.net{k.replace('.', '')}": v for k, v in ema.items()}
        | {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(1)}
    ),
]


@pytest.mark.parametrize("build", COPIES)
def test_averaged_copies_are_left_out_or_chosen(build: Callable[[Tree, Tree], Tree]) -> None:
    tree = build(weights(), weights(10))
    raw, notes = select(tree)
    assert len(raw) == len(NAMES)
    assert [name.endswith(tail) for name, tail in zip(raw, NAMES, strict=True)] == [True] * len(NAMES)
    assert stem(raw, next(iter(raw))) == 1
    assert any("left out the averaged or teacher copy" in note for note in notes)
    ema, notes = select(tree, prefer_ema=True)
    assert list(ema) == list(raw)
    assert stem(ema, next(iter(ema))) == 11
    assert any("took the averaged or teacher copy" in note for note in notes)


@pytest.mark.parametrize(
    "tree",
    [
        {"params_ema": weights(10)},
        {f"ema.{k}": v for k, v in weights(10).items()},
        {"state_dict_ema": weights(10), "epoch": 2},
        {"ema": {"module": weights(10)}, "optimizer": ADAM},
    ],
)
def test_a_copy_that_is_alone_is_the_model(tree: Tree) -> None:
    tensors, notes = select(tree)
    assert list(tensors) == NAMES
    assert stem(tensors) == 11
    assert not any("copy" in note for note in notes)


def test_a_layer_named_like_a_copy_stays() -> None:
    tree = weights() | {"teacher.proj.weight": torch.ones(5, 5), "ema_head.weight": torch.ones(2, 7)}
    tensors, notes = select(tree)
    assert list(tensors) == list(tree)
    assert notes == ()


def test_the_right_twin_of_two_networks() -> None:
    tree = {"g": weights(), "d": weights(20), "g_ema": weights(10), "latent_avg": torch.ones(4)}
    assert stem(select(tree, prefer_ema=True)[0], "g.stem.weight") == 11
    chosen = select({"d": weights(20), "g": weights(), "g_ema": weights(10)}, prefer_ema=True)[0]
    assert stem(chosen, "d.stem.weight") == 21
    assert stem(chosen, "g.stem.weight") == 11


def test_cycles_sharing_and_depth_end() -> None:
    tree: Tree = {"model": weights()}
    tree["self"] = tree
    tree["again"] = tree["model"]
    tensors, notes = select(tree)
    assert list(tensors) == NAMES
    assert sum("same object" in note for note in notes) == 2
    deep: Tree = weights()
    for _ in range(200):
        deep = {"deeper": deep}
    assert select(deep)[0] == {}
    # 2^30 paths, 30 objects
    many: Tree = weights()
    for _ in range(30):
        many = {"a": many, "b": many}
    assert len(select(many)[0]) == len(NAMES)


def test_names_stay_unique() -> None:
    a, b = torch.ones(1), torch.zeros(1)
    assert list(select({"a": {"b.c": a}, "a.b": {"c": b}})[0]) == ["a.b.c", "a.b.c#2"]
    assert list(select({"x._orig_mod.w": a, "x.w": b})[0]) == ["x._orig_mod.w", "x.w"]
    assert list(select({"module.w": a, "w": b})[0]) == ["module.w", "w"]
    assert list(select(torch.ones(2))[0]) == ["tensor"]
    assert select({"epoch": 3})[0] == {}


def test_flat_safetensors_follow_the_same_rules(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tree = {f"model.{k}": v for k, v in weights().items()}
    tree |= {f"ema.{k}": v + 10 for k, v in weights().items()}
    tree |= {"optimizer.0.exp_avg": torch.ones(4, 3, 3, 3), "optimizer.0.exp_avg_sq": torch.ones(4, 3, 3, 3)}
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(tree, path)
    with open_paths(path) as checkpoint:
        assert sorted(e.name for e in checkpoint.entries) == sorted(NAMES)
        assert set(checkpoint.notes) == {
            "left out optimizer state 'optimizer' (2 tensors)",
            "left out the averaged or teacher copy 'ema' (5 tensors) of 'model'",
        }
        assert stem(dict(checkpoint.read(["stem.weight"]))) == 1
    with open_paths(path, prefer_ema=True) as checkpoint:
        assert stem(dict(checkpoint.read(["stem.weight"]))) == 11


def test_natural_order_and_prefixes() -> None:
    names = ["layer10.w", "layer2.w", "layer1.10.w", "layer1.9.w", "conv", "a" * 30 + "9" * 5000]
    assert sorted(names, key=natural_key)[2:] == ["layer1.9.w", "layer1.10.w", "layer2.w", "layer10.w"]
    assert strip_prefixes(["model.model.weight", "model.model.bias"]) == ["weight", "bias"]
    assert strip_prefixes(["module.a.w", "b.w"]) == ["module.a.w", "b.w"]
    assert strip_prefixes(["module.w"]) == ["w"]
    assert strip_prefixes([]) == []
