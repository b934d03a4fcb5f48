"""The real checkpoints beside the checkout, read by a few plain lines: what extraction is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import yaml

from tests.stores import Model, chain

_DESCRIBED = ("task", "visual_category", "training_dataset", "architecture", "license", "sha256")


def real_models(folder: Path) -> list[Model]:
    """Every model of the manifest, its 3x3 convolutions in the order of the file."""
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())["models"]
    return [
        chain(entry["name"], _weights(folder / entry["file"]), {name: entry[name] for name in _DESCRIBED})
        for entry in manifest
    ]


def _weights(path: Path) -> dict[str, np.ndarray]:
    """The model's own 3x3 weights, by lines that know each file's nesting."""
    if path.suffix == ".onnx":
        tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    else:
        content = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model_state_dict"):
            content = content.get(key, content)
        tensors = {name: t.numpy() for name, t in content.items() if isinstance(t, torch.Tensor)}
    return {name: t for name, t in tensors.items() if t.ndim == 4 and t.shape[2:] == (3, 3)}
