"""Made-up corpora in the published HDF5 layouts, of any size: what the benchmarks and the tests of imports read.

    python -m benchmarks.synthetic_corpus PATH FILTERS [v0.1|v1.0|robustness]

The frames are pandas' own, as ``to_hdf`` of the installed version writes them; filters are random, layers of one model
have one scale each.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

#: The published tasks and visual categories, in the words of v1.0.
TASKS = (
    *("Auto-Encoder", "Classification", "Depth Estimation", "Face Detection", "Face Recognition", "Feature Extraction"),
    *("GAN-Generator", "Object Detection", "Segmentation", "Style-Transfer", "Super Resolution"),
)
CATEGORIES = (
    *("cartoon", "depth", "digits", "face", "fractals", "maps", "medical ct", "medical fundus", "medical mri"),
    *("medical xray", "natural", "seismic", "street", "textures", "thermal", "underwater"),
)

_OPERATORS = ("Conv", "Add", "Relu", "MaxPool", "BatchNormalization", "Concat", "Resize", "Not")

#: Filters made at a time.
_PIECE = 1 << 18


class Layout(StrEnum):
    """Which publication's frame is written."""

    V0_1 = "v0.1"
    V1_0 = "v1.0"
    ROBUSTNESS = "robustness"


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """What is written.

    Attributes:
        models: number of models.
        layer_filters: filters of each layer, or of each depth.
        layout: of the frame.
        dtype: of the weights.
        square: (N, 3, 3) in place of (N, 9).
        filters_name: of the data set.
        seed: of the weights.
    """

    models: int
    layer_filters: tuple[int, ...]
    layout: Layout = Layout.V1_0
    dtype: str = "float32"
    square: bool = False
    filters_name: str = "filters"
    seed: int = 0

    @property
    def filters(self) -> int:
        """Of all models."""
        return self.models * sum(self.layer_filters)


def frame_of(plan: CorpusPlan) -> pd.DataFrame:
    """The frame ``meta``: a row for each layer of each model."""
    rows: list[dict[str, Any]] = []
    start = 0
    deepest = max(1, len(plan.layer_filters) - 1)
    for model in range(plan.models):
        about = _about(model, plan)
        for depth, filters in enumerate(plan.layer_filters):
            # Ids with gaps, as the published ones have.
            place: dict[str, Any] = {"model_id": 3 * model + 1, "conv_depth": depth, "conv_depth_norm": depth / deepest}
            of_layer: dict[str, Any] = {"filter_ids": f"{start}:{start + filters - 1}"}
            if plan.layout is Layout.ROBUSTNESS:
                place["layer_id"] = 100 + depth
                channels = _channels(filters)
                of_layer |= {"layer_depth": 3 * depth, "out_channels": channels[0], "in_channels": channels[1]}
            rows.append({**place, **of_layer, **about})
            start += filters
    index = ["model_id", "conv_depth", "conv_depth_norm"]
    index += ["layer_id"] if plan.layout is Layout.ROBUSTNESS else []
    return pd.DataFrame(rows).set_index(index)


def _channels(filters: int) -> tuple[int, int]:
    out = next(n for n in range(int(filters**0.5), 0, -1) if filters % n == 0)
    return filters // out, out


def _about(model: int, plan: CorpusPlan) -> dict[str, Any]:
    total = sum(plan.layer_filters)
    task = TASKS[model % len(TASKS)]
    category = CATEGORIES[model % len(CATEGORIES)]
    about: dict[str, Any] = {
        "model": f"network{model}_dataset{model % 5}_{9 + model % 5}",
        "producer": "pytorch 1.9",
        "op_set": 9 + model % 5,
        "Name": f"network{model}",
        "Paper": f"https://arxiv.org/abs/2201.{model:05}" if model % 3 else None,
        "Pretraining-Dataset": "imagenet" if model % 2 else False,
        "Training-Dataset": f"dataset{model % 5}",
        "Accessible": f"https://example.org/models/{model}",
        "Dataset URL": np.nan,
        "total_filters": total + 100,
        "3x3_filter_share": total / (total + 100),
        "(1, 1) filters": 60.0,
        "(3, 3) filters": float(total),
        "(7, 7) filters": 40.0 if model % 2 else np.nan,
        **{name: float(i + model % 7) if (i + model) % 4 else np.nan for i, name in enumerate(_OPERATORS)},
    }
    if plan.layout is Layout.V0_1:
        return about | {"depth": 50 + model, "Task": task, "Datatype": {"fractals": "formula"}.get(category, category)}
    about |= {"Task": f"{task} (semantic)" if task == "Segmentation" else task, "Visual Category": category}
    if plan.layout is Layout.V1_0:
        return about | {"depth": 50 + model}
    return about | {
        "Robust": model % 2 == 0,
        "Clean Accuracy": 80.0 + model % 10,
        "Robust Accuracy": "46.25" if model % 2 == 0 else "0",
        "Network": f"Author2020Paper{model}",
        "Backbone": "WideResNet-34-10",
        "Framework": "pytorch",
    }


def write_corpus(path: Path, plan: CorpusPlan) -> Path:
    """Write the file; returns ``path``."""
    path.unlink(missing_ok=True)
    write_frame(path, frame_of(plan))
    with h5py.File(path, "a") as file:
        shape = (plan.filters, 3, 3) if plan.square else (plan.filters, 9)
        filters = file.create_dataset(plan.filters_name, shape, plan.dtype)
        generator = np.random.default_rng(plan.seed)
        for start in range(0, plan.filters, _PIECE):
            count = min(_PIECE, plan.filters - start)
            piece = generator.standard_normal((count, *shape[1:]), np.float32) * np.float32(0.05)
            filters[start : start + count] = piece.astype(plan.dtype)
        if plan.layout is Layout.ROBUSTNESS:
            file["scaled_filters"] = np.zeros((2, 9))
            file["sparse_filter_ids"] = np.zeros(3, np.int64)
    return path


def write_frame(path: Path, frame: pd.DataFrame, key: str = "meta") -> None:
    """``frame.to_hdf`` in fixed format, without its warning that mixed columns are pickled: that is the layout."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        frame.to_hdf(path, key=key)


def plan_of(filters: int, layout: Layout, dtype: str = "float64") -> CorpusPlan:
    """Models of a million filters, as many as give about ``filters``; layers from 192 to 262 144 filters."""
    layers = (192, 4096, 4096, 16384, 36864, 65536, 147456, 262144, 262144, 200064)
    return CorpusPlan(max(1, round(filters / sum(layers))), layers, layout, dtype)


if __name__ == "__main__":
    _, where, number, *which = sys.argv
    write_corpus(Path(where), plan_of(int(number), Layout(which[0] if which else "v1.0")))
