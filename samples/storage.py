"""Sample models on disk, in the Hub's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn

from samples.architectures import build

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a sample folder."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The stored tensors, as stored, from the one file or from all shards of the index.

    Raises:
        FileNotFoundError: there is neither.
    """
    index = folder / INDEX
    if not index.is_file():
        return load_file(folder / WEIGHTS)
    shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return {name: tensor for shard in shards for name, tensor in load_file(folder / shard).items()}


def load(folder: Path) -> nn.Module:
    """The trained model of a sample folder, in float32, ready to predict.

    Raises:
        RuntimeError: the weights do not fit the architecture (names and shapes are checked strictly).
    """
    model = build(read_config(folder))
    model.load_state_dict(read_weights(folder), strict=True)
    return model.eval()


def write_weights(model: nn.Module, folder: Path, dtype: str, shards: int) -> None:
    """Write the weights, floating ones as ``dtype``, in one file or in ``shards`` with an index; older go."""
    for old in (*folder.glob("*.safetensors"), folder / INDEX):
        old.unlink(missing_ok=True)
    target: torch.dtype = getattr(torch, dtype)
    state = {
        name: tensor.to(target) if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()
    }
    total = sum(tensor.nbytes for tensor in state.values())
    # A tenth above an equal share: whole tensors must fit.
    limit = total + 1 if shards == 1 else int(1.1 * total / shards)
    save_torch_state_dict(state, folder, max_shard_size=limit, filename_pattern="model{suffix}.safetensors")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors makes files that only their owner can read


def write_config(config: Mapping[str, Any], folder: Path) -> None:
    """Write ``config.json``."""
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
