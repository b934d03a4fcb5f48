"""Small real models, stored the way the Hub stores them."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file


def weights(seed: int = 0, channels: int = 8) -> dict[str, torch.Tensor]:
    """The state dict of a net of two 3x3 convolutions."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv1.weight": torch.randn(channels, 3, 3, 3, generator=generator),
        "conv2.weight": torch.randn(channels, channels, 3, 3, generator=generator),
    }


def write_card(folder: Path, card: dict[str, object]) -> None:
    """``README.md`` with this front matter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card, allow_unicode=True)}---\n\n# A model\n", "utf-8")


def write_model(
    folder: Path, seed: int = 0, card: dict[str, object] | None = None, config: dict[str, object] | None = None
) -> Path:
    """A Hub-layout folder with ``model.safetensors``, ``config.json`` and, given a card, ``README.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(seed), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config or {"architectures": ["TwoConvs"], "model_type": "toy"}))
    if card is not None:
        write_card(folder, card)
    return folder


def write_onnx(path: Path, location: str | None) -> None:
    """Two convolutions with external data in one file of this name, or in a file for each weight."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in weights().items()]
    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight"], ["h"]),
        helper.make_node("Conv", ["h", "conv2.weight"], ["y"]),
    ]
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    model = helper.make_model(helper.make_graph(nodes, "g", [info], [], tensors))
    options = {"save_as_external_data": True, "all_tensors_to_one_file": location is not None, "size_threshold": 0}
    onnx.save(model, path, location=location, **options)


def write_shards(folder: Path, seed: int = 0) -> Path:
    """A Hub-layout folder with two shards and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights(seed)
    shards = {name: f"model-{i:05d}-of-00002.safetensors" for i, name in enumerate(tensors, 1)}
    for name, shard in shards.items():
        save_file({name: tensors[name]}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    return folder
