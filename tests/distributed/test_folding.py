"""Batch norm folded at extraction, against exports in evaluation mode, and what is not folded and said so."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from distributed.convolutions import with_norms
from distributed.formats import open_checkpoint
from distributed.graph.tracing import trace_module
from distributed.local_files import LocalFile
from distributed.settings import ExtractSettings
from distributed.single import open_model
from tests.distributed.convolutions.helpers import entries_of, find


def filters_of(path: Path, **settings: Any) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Filters (n, 9) by layer name, and the notes."""
    parts: dict[int, list[np.ndarray]] = {}

    def take(batch: Any, largest: object) -> None:
        weights = np.stack([batch.column(f"w{i}").to_numpy() for i in range(9)], axis=1)
        ids = batch.column("layer_id").to_numpy()
        for layer in np.unique(ids):
            parts.setdefault(int(layer), []).append(weights[ids == layer])

    with open_model(str(path), ExtractSettings(**settings)) as opened:
        read = opened.read(take)
    ids, names = read.layers.column("layer_id").to_pylist(), read.layers.column("name").to_pylist()
    return {name: np.concatenate(parts[layer]) for name, layer in zip(names, ids, strict=True)}, read.notes


def same_filters(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Whatever they are called: each layer of one is a layer of the other, to float32's rounding."""
    left = list(second.values())
    assert len(first) == len(left)
    for name, filters in first.items():
        largest = np.abs(filters).max()
        near = [i for i, other in enumerate(left) if other.shape == filters.shape]
        (best, distance) = min(((i, np.abs(left[i] - filters).max()) for i in near), key=lambda pair: pair[1])
        assert distance <= 4e-7 * largest, name
        left.pop(best)


def randomised(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.1, 3)
            nn.init.uniform_(module.weight, 0.2, 2)
    return model.eval()


@pytest.mark.parametrize(("name", "changed"), [("resnet18", 16), ("densenet121", 0), ("mobilenetv2_050", 18)])
def test_a_traced_model_equals_its_export(tmp_path: Path, name: str, changed: int) -> None:
    """torch folds what it exports in evaluation mode. DenseNet's 3x3 outputs are read by all later layers: none is."""
    model = randomised(timm.create_model(name, pretrained=False))
    (tmp_path / "torch").mkdir()
    torch.save(model.state_dict(), tmp_path / "torch" / "model.pth")
    (tmp_path / "torch" / "manifest.yaml").write_text(f"models:\n  - file: model.pth\n    builder: timm:{name}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.zeros(1, 3, 64, 64),), str(tmp_path / "model.onnx"), dynamo=False)
    exported, _ = filters_of(tmp_path / "model.onnx")
    folded, notes = filters_of(tmp_path / "torch", fold_bn=True)
    same_filters(folded, exported)
    plain, _ = filters_of(tmp_path / "torch")
    assert sum(np.abs(plain[layer] - folded[layer]).max() > 0.01 for layer in plain) == changed
    assert any("folded: batch norm into" in note for note in notes)


def test_the_face_detectors_agree_by_names_and_by_graph(checkpoints: Path) -> None:
    """The pickle's batch norms are told by names; the ONNX file holds them unfolded, behind their convolutions."""
    by_names, notes = filters_of(checkpoints / "version-RFB-320.pth", fold_bn=True)
    by_graph, _ = filters_of(checkpoints / "version-RFB-320.onnx", fold_bn=True)
    assert by_names.keys() == by_graph.keys()
    same_filters(by_names, by_graph)
    plain, _ = filters_of(checkpoints / "version-RFB-320.onnx")
    assert max(np.abs(plain[name] - by_graph[name]).max() for name in plain) > 1
    assert "folded: batch norm into 35 of 52 convolutions" in notes
    assert any("eps is torch's default" in note for note in notes)


def told(state: dict[str, torch.Tensor], order_known: bool = True) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Convolution → the module of its batch norm, by names."""
    found = with_norms(find(state), entries_of(state), None, order_known=order_known)
    return {c.name: c.norm and c.norm.variance.rpartition(".")[0] for c in found.convolutions}, found.remarks


class Block(nn.Module):
    """The usual order of definition; a shortcut in a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)
        self.downsample = nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3))


class PreActivation(nn.Module):
    """bn1 is read before conv1: the number that they share says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)
        self.bn2, self.conv2 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3)


class Mobile(nn.Module):
    """Other words, defined right behind each other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)
        self.conv_pw, self.bn2 = nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8)


@pytest.mark.parametrize("order_known", [True, False])
def test_names_that_have_one_reading(order_known: bool) -> None:
    found, _ = told(Block().state_dict(), order_known)
    assert found == {
        "conv1.weight": "bn1",
        "conv2.weight": "bn2",
        "downsample.0.weight": "downsample.1",
        "downsample.3.weight": None,
    }


@pytest.mark.parametrize("order_known", [True, False])
def test_names_that_have_two_keep_the_plain_weight_and_say_so(order_known: bool) -> None:
    found, remarks = told(PreActivation().state_dict(), order_known)
    assert found == {"conv1.weight": None, "conv2.weight": None}
    assert any("plain weights of conv1.weight, conv2.weight" in remark for remark in remarks)


def test_what_is_defined_right_behind_needs_no_number() -> None:
    assert told(Mobile().state_dict())[0] == {"conv_dw.weight": "bn1", "conv_pw.weight": "bn2"}
    assert told(Mobile().state_dict(), order_known=False)[0] == {"conv_dw.weight": None, "conv_pw.weight": None}


class Twice(nn.Module):
    """One weight, two batch norms; and a convolution whose output is read beside its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, eps=0.5), nn.BatchNorm2d(3)
        self.open, self.c = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.last, self.d = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, eps=0.25, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(self.shared(self.a(self.shared(x))))
        y = self.open(x)
        return self.d(self.last(self.c(y) + y))


def test_a_graph_says_what_follows_and_with_which_eps() -> None:
    model = Twice()
    facts = trace_module(model, [torch.zeros(1, 3, 8, 8)])
    assert facts.norms.keys() == {"shared.weight", "last.weight"}
    assert facts.norms["shared.weight"] is None
    last = facts.norms["last.weight"]
    assert last is not None
    assert (last.variance, last.scale, last.eps) == ("d.running_var", None, 0.25)
    plan = with_norms(find(model.state_dict()), entries_of(model.state_dict()), facts, order_known=True)
    assert any("plain weights of shared.weight: there are batch norms, but their uses" in note for note in plan.remarks)
    without = {name: value for name, value in model.state_dict().items() if "running_var" not in name}
    plan = with_norms(find(without), entries_of(without), facts, order_known=True)
    assert any("the checkpoint does not hold their batch norms" in note for note in plan.remarks)
    assert all(convolution.norm is None for convolution in plan.convolutions)


def test_the_variant_is_its_own_model(tmp_path: Path) -> None:
    torch.save(Block().state_dict(), tmp_path / "model.pth")
    ids = set()
    for settings in (ExtractSettings(), ExtractSettings(fold_bn=True)):
        with open_model(str(tmp_path / "model.pth"), settings) as opened:
            ids.add(opened.read(lambda batch, largest: None).model_id)
    assert len(ids) == 2
    assert ExtractSettings(fold_bn=True).variant == "folded"


def test_half_precision_is_folded_from_what_it_stands_for(tmp_path: Path) -> None:
    model = randomised(Block()).half()
    torch.save(model.state_dict(), tmp_path / "half.pth")
    with open_checkpoint([LocalFile(tmp_path / "half.pth", "half.pth")]) as checkpoint:
        assert checkpoint.entries[0].dtype == "float16"
    folded, _ = filters_of(tmp_path / "half.pth", fold_bn=True)
    state = {name: value.double() for name, value in model.state_dict().items()}
    factor = state["bn1.weight"] / (state["bn1.running_var"] + 1e-5).sqrt()
    expected = (state["conv1.weight"] * factor[:, None, None, None]).float().reshape(-1, 9).numpy()
    np.testing.assert_array_equal(folded["conv1.weight"], expected)
