"""Files of other frameworks, quantisers and exporters, from the folder into the store: rows, notes and reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from distributed.outcomes import OutcomeKind
from tests.distributed.checkpoint_files import conv, extracted

BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
SOBEL = np.float32([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def rows(store: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(store / table).to_pylist() if (store / table).is_dir() else []


def layers_of(store: Path) -> dict[str, np.ndarray]:
    """Name of a layer → its filters (n, 9), of the only model."""
    (file,) = (store / "filters").glob("*.parquet")
    table = pq.read_table(file)
    ids, weights = table["layer_id"].to_numpy(), np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)
    return {row["name"]: weights[ids == row["layer_id"]] for row in rows(store, "layers")}


def save_onnx(path: Path, nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray]) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", [image], [], tensors))
    path.write_bytes(model.SerializeToString())


def chained(*weights: str, **options: int) -> list[onnx.NodeProto]:
    """One Conv after the other; ``options`` are groups by the weight's name."""
    values = ["image", *(f"v{i}" for i in range(len(weights)))]
    return [
        helper.make_node("Conv", [values[i], name], [values[i + 1]], group=options.get(name, 1))
        for i, name in enumerate(weights)
    ]


def test_mlx_is_turned_and_says_so(source: Path, tmp_path: Path) -> None:
    weights = {"stem.weight": conv(1, 8, 3), "next.weight": conv(2, 12, 8)}
    turned = {name: weight.permute(0, 2, 3, 1).contiguous() for name, weight in weights.items()}
    save_file(turned, source / "m.safetensors", metadata={"format": "mlx"})
    extracted(source, tmp_path / "store")
    found = layers_of(tmp_path / "store")
    assert {name: np.array_equal(found[name], w.reshape(-1, 9).numpy()) for name, w in weights.items()} == {
        "stem.weight": True,
        "next.weight": True,
    }
    assert {(row["out_channels"], row["in_channels"]) for row in rows(tmp_path / "store", "layers")} == {
        (8, 3),
        (12, 8),
    }
    (model,) = rows(tmp_path / "store", "models")
    assert model["notes"] == [
        "weights are kept as (out, kh, kw, in) (the header says mlx), read as (out, in, kh, kw)",
    ]


def test_mixed_orders_are_refused_with_the_reason(source: Path, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.randn(8, 3, 3, 16), "b.weight": torch.randn(8, 8, 3, 3)}, source / "m.pth")
    (outcome,) = extracted(source, tmp_path / "store").values()
    assert (outcome.kind, outcome.reason) == (OutcomeKind.SKIPPED, "unsupported_format")
    assert outcome.message == (
        "m.pth: holds convolution weights in several orders of axes: convert it to one, torch's or MLX's"
    )
    assert not any(path.is_file() for path in (tmp_path / "store").rglob("*"))


@pytest.mark.parametrize("name", ["filt", "onnx::Conv_12"])
def test_fixed_kernels_of_an_onnx_graph_are_told_by_their_values(source: Path, tmp_path: Path, name: str) -> None:
    stored = {
        "stem": conv(1, 8, 3).numpy(),
        name: np.broadcast_to(BINOMIAL, (8, 1, 3, 3)).copy(),
        "gaussian.weight": conv(2, 8, 8).numpy(),
        "edges": np.stack([np.broadcast_to(SOBEL, (8, 3, 3)), np.broadcast_to(SOBEL.T, (8, 3, 3))]),
    }
    save_onnx(source / "m.onnx", chained("stem", name, "gaussian.weight", "edges", **{name: 8}), stored)
    extracted(source, tmp_path / "store")
    found = layers_of(tmp_path / "store")
    assert found.keys() == {"stem", "gaussian.weight"}
    (model,) = rows(tmp_path / "store", "models")
    assert model["total_filters"] == model["num_filters"] == 8 * 3 + 8 * 8
    notes = " ".join(model["notes"])
    assert name in notes
    assert "edges: a fixed kernel by its values, not learned" in notes


def test_learned_layers_called_like_fixed_ones_stay_and_blurs_of_any_size_go(source: Path, tmp_path: Path) -> None:
    taps = torch.tensor([1.0, 3, 3, 1])
    state = {
        "gaussian.weight": conv(1, 8, 3),
        "dct.weight": conv(2, 8, 8),
        "blur.kernel": (torch.outer(taps, taps) / 64).expand(8, 1, 4, 4),
        "down.weight": torch.from_numpy(np.broadcast_to(BINOMIAL, (8, 1, 3, 3)).copy()),
    }
    torch.save({name: tensor.clone() for name, tensor in state.items()}, source / "m.pth")
    extracted(source, tmp_path / "store")
    assert layers_of(tmp_path / "store").keys() == {"gaussian.weight", "dct.weight"}
    (model,) = rows(tmp_path / "store", "models")
    assert model["kernel_shapes"] == [{"key": "3x3", "value": 8 * 3 + 8 * 8}]
    assert [(row["name"], row["conv_depth"]) for row in rows(tmp_path / "store", "layers")] == [
        ("gaussian.weight", 0),
        ("dct.weight", 1),
    ]


class TestQuantised:
    @pytest.fixture
    def model(self, source: Path) -> Path:
        """One layer of floats, one of integers."""
        stored = {
            "float": conv(1, 8, 3).numpy(),
            "int": np.random.default_rng(0).integers(-128, 128, (8, 8, 3, 3), dtype=np.int8),
            "scale": np.float32(0.01),
            "zero": np.int8(3),
        }
        nodes = [*chained("float"), helper.make_node("DequantizeLinear", ["int", "scale", "zero"], ["w"])]
        nodes.append(helper.make_node("Conv", ["v0", "w"], ["y"]))
        save_onnx(source / "m.onnx", nodes, stored)
        return source / "m.onnx"

    def test_left_out_with_a_note_and_taken_as_another_variant(self, model: Path, source: Path, tmp_path: Path) -> None:
        store = tmp_path / "store"
        (default,) = extracted(source, store).values()
        assert layers_of(store).keys() == {"float"}
        (row,) = rows(store, "models")
        assert row["notes"] == [
            "left out int: quantised (int8); extract.quantised=true takes what the integers stand for",
        ]
        (asked,) = extracted(source, tmp_path / "asked", quantised=True).values()
        assert asked.model_id != default.model_id
        found = layers_of(tmp_path / "asked")
        stored = {each.name: numpy_helper.to_array(each) for each in onnx.load(model).graph.initializer}
        expected = (stored["int"].astype(np.float32) - 3) * stored["scale"]
        assert np.array_equal(found["int"], expected.reshape(-1, 9))
        assert {each["name"]: each["dtype"] for each in rows(tmp_path / "asked", "layers")} == {
            "float": "float32",
            "int": "int8",
        }
        (row,) = rows(tmp_path / "asked", "models")
        assert row["variant"] == "quantised"
        assert row["notes"] == ["took int: dequantised (int8), not the weights that were trained"]

    def test_a_model_of_integers_alone_is_skipped_and_the_skip_says_so(self, source: Path, tmp_path: Path) -> None:
        numbers = torch.randint(-128, 128, (8, 3, 3, 3), dtype=torch.int8)
        save_file({"conv.weight": numbers, "conv.weight_scale": torch.full((1,), 0.01)}, source / "m.safetensors")
        (outcome,) = extracted(source, tmp_path / "store").values()
        assert (outcome.kind, outcome.reason) == (OutcomeKind.SKIPPED, "no_3x3_convolution")
        assert "quantised (int8); extract.quantised=true takes" in str(outcome.message)


def test_a_spectral_norm_that_is_not_settled_costs_its_layer_and_the_note_says_which(
    source: Path, tmp_path: Path
) -> None:
    state = {
        "a.weight": conv(1, 8, 3),
        "b.weight": conv(2, 8, 8),
        "b.u0": torch.randn(1, 8),
        "b.sv0": torch.ones(1),
    }
    torch.save(state, source / "m.pth")
    extracted(source, tmp_path / "store")
    assert layers_of(tmp_path / "store").keys() == {"a.weight"}
    (model,) = rows(tmp_path / "store", "models")
    assert [note.split(":")[0] for note in model["notes"]] == ["left out b.weight"]
    assert model["total_filters"] == 24
