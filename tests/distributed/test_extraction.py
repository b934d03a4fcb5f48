"""One checkpoint into the store, without Ray: what is planned, what is read, what is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from distributed.byte_sources import open_sources
from distributed.errors import SkipReason, UnextractableError
from distributed.extraction import FilterStream, LayerLayout, extract_model, plan_layers
from distributed.formats import open_checkpoint
from distributed.formats.base import Checkpoint
from distributed.graph.facts import DepthMethod
from distributed.outcomes import OutcomeKind
from distributed.records import FILTERS_SCHEMA
from distributed.references import ModelReference, layer_id_of
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import LocalSettings, SampleSettings
from distributed.store import Store, StoreSettings
from tests.distributed.checkpoint_files import CPU, conv, extracted

MODEL_ID = "00112233445566aa"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(StoreSettings(str(tmp_path / "store")))


def rows(store: Store, table: str) -> list[dict[str, object]]:
    return pq.read_table(Path(store.uri) / table).to_pylist()  # type: ignore[no-any-return]


def filters_of(store: Store, model_id: str) -> np.ndarray:
    table = pq.read_table(store.filters_path(model_id))
    return np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)


def saved(folder: Path, tensors: Mapping[str, torch.Tensor], name: str = "net.pth") -> ModelReference:
    """The reference of a state dict written as ``name``."""
    if name.endswith(".safetensors"):
        safetensors.torch.save_file(dict(tensors), folder / name)
    else:
        torch.save(dict(tensors), folder / name)
    (reference,) = list_references(LocalSettings(str(folder / name)))
    return reference


def opened(stack: ExitStack, reference: ModelReference, scratch: Path) -> Checkpoint:
    return stack.enter_context(open_checkpoint(open_sources(reference, scratch), prefer_ema=False))


def planned(reference: ModelReference, scratch: Path, **settings: bool) -> LayerLayout:
    with ExitStack() as stack:
        return plan_layers(reference, opened(stack, reference, scratch), ExtractSettings(**settings))


class TestPlanLayers:
    def test_layers_are_in_the_order_of_the_checkpoint(self, source: Path, tmp_path: Path) -> None:
        tensors = {
            "z.weight": conv(0),
            "one.weight": torch.ones(4, 4, 1, 1),
            "a.weight": conv(1, 5, 4),
            "fc.weight": torch.ones(2, 5),
            "empty.weight": torch.ones(0, 3, 3, 3),
        }
        layout = planned(saved(source, tensors), tmp_path)
        assert [layer.name for layer in layout.layers] == ["z.weight", "a.weight"]
        assert (layout.method, layout.op_counts) == (DepthMethod.ORDER, None)
        assert layout.depths == {"z.weight": 0, "one.weight": 1, "a.weight": 2}  # 1x1 convolutions count
        assert [layout.depth_norm(name) for name in layout.depths] == [0, 0.5, 1]
        assert any("empty.weight" in note for note in layout.notes)

    def test_a_single_level_has_norm_0(self, source: Path, tmp_path: Path) -> None:
        layout = planned(saved(source, {"a.weight": conv(0)}), tmp_path)
        assert layout.depth_norm("a.weight") == 0

    def test_a_known_architecture_is_traced_unless_it_is_not_asked_for(self, tmp_path: Path) -> None:
        (sample,) = list_references(SampleSettings(models=("digits-resnet",)))
        traced, plain = planned(sample, tmp_path), planned(sample, tmp_path, trace=False)
        assert (traced.method, plain.method) == (DepthMethod.TRACED, DepthMethod.ORDER)
        assert traced.op_counts
        assert {layer.name for layer in traced.layers} == {layer.name for layer in plain.layers}
        assert all(layer.groups is not None for layer in traced.layers)
        depths = [traced.depths[layer.name] for layer in traced.layers]
        assert depths == sorted(depths)

    @pytest.mark.parametrize(
        ("builder", "why"),
        [("timm:no_such_net", "knows no architecture"), ("timm:resnet18", "of its 20 convolution weights")],
    )
    def test_a_builder_that_does_not_fit_falls_back_with_a_note(
        self, source: Path, tmp_path: Path, builder: str, why: str
    ) -> None:
        reference = dataclasses.replace(
            saved(source, {"a.weight": conv(0), "b.weight": conv(1, 4, 4)}), builder=builder
        )
        layout = planned(reference, tmp_path)
        assert layout.method is DepthMethod.ORDER
        (note,) = [note for note in layout.notes if note.startswith("depth is the checkpoint's order: ")]
        assert why in note

    def test_the_graph_of_an_onnx_file_is_used(self, source: Path, tmp_path: Path) -> None:
        weights = [onnx.numpy_helper.from_array(conv(i, 3).numpy(), f"w{i}") for i in range(2)]
        nodes = [onnx.helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(2)]
        ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in ("x0", "x2")]
        graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], weights[::-1])
        onnx.save(onnx.helper.make_model(graph), source / "net.onnx")
        (reference,) = list_references(LocalSettings(str(source)))
        layout = planned(reference, tmp_path)
        assert (layout.method, layout.depths) == (DepthMethod.ONNX, {"w0": 0, "w1": 1})
        assert layout.op_counts == {"Conv": 2}

    def test_nothing_to_extract_says_what_is_there(self, source: Path, tmp_path: Path) -> None:
        with pytest.raises(UnextractableError) as raised:
            planned(saved(source, {"a.weight": torch.ones(2, 2, 5, 5), "b.weight": torch.ones(2, 2, 1, 1)}), tmp_path)
        assert raised.value.reason is SkipReason.NO_3X3_CONVOLUTION
        assert raised.value.place.found == "2-D convolutions of 1x1, 5x5 only"
        assert str(raised.value).startswith("net.pth: no learned 3x3 convolution (2-D convolutions of 1x1, 5x5 only")


class TestFilterStream:
    @staticmethod
    def streamed(reference: ModelReference, scratch: Path) -> tuple[FilterStream, pa.Table]:
        with ExitStack() as stack:
            checkpoint = opened(stack, reference, scratch)
            layout = plan_layers(reference, checkpoint, ExtractSettings())
            stream = FilterStream(checkpoint, layout, MODEL_ID, CPU)
            return stream, pa.Table.from_batches(stream.batches(), FILTERS_SCHEMA)

    def test_filters_come_layer_after_layer_as_they_are(self, source: Path, tmp_path: Path) -> None:
        tensors = {"a.weight": conv(0, 300, 500), "b.weight": conv(1, 7, 300)}  # more than one row group
        stream, table = self.streamed(saved(source, tensors), tmp_path)
        assert stream.num_filters == 300 * 500 + 7 * 300
        ids = [layer_id_of(MODEL_ID, index) for index in range(2)]
        assert table["layer_id"].to_pylist() == [ids[0]] * 150_000 + [ids[1]] * 2_100
        found = np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)
        expected = np.concatenate([tensor.reshape(-1, 9).numpy() for tensor in tensors.values()])
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
        assert [(row["layer_id"], row["name"], row["num_filters"]) for row in stream.layer_rows] == [
            (ids[0], "a.weight", 150_000),
            (ids[1], "b.weight", 2_100),
        ]

    def test_a_fixed_blur_is_seen_by_its_values_and_takes_no_index(self, source: Path, tmp_path: Path) -> None:
        blur = torch.tensor([1.0, 2, 1]).outer(torch.tensor([1.0, 2, 1])).expand(8, 1, 3, 3) / 16
        stream, table = self.streamed(saved(source, {"first.weight": blur.clone(), "b.weight": conv(1)}), tmp_path)
        assert (stream.left_out, stream.num_filters, len(table)) == ({"first.weight"}, 12, 12)
        assert [(row["layer_index"], row["name"]) for row in stream.layer_rows] == [(0, "b.weight")]
        assert stream.notes == ["left out first.weight: a fixed kernel by its values, not learned"]
        with pytest.raises(UnextractableError, match=r"no learned 3x3 convolution is left: left out first\.weight"):
            self.streamed(saved(source, {"first.weight": blur.clone()}, "blur.pth"), tmp_path)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_a_value_that_is_none_refuses_the_model(self, source: Path, tmp_path: Path, value: float) -> None:
        weight = conv(1)
        weight[1, 2, 0, 1] = value
        with pytest.raises(UnextractableError, match=r"b\.weight") as raised:
            self.streamed(saved(source, {"a.weight": conv(0), "b.weight": weight}), tmp_path)
        assert (raised.value.reason, raised.value.place.tensor) == (SkipReason.NON_FINITE, "b.weight")


class TestExtractModel:
    def test_the_three_tables_tell_one_story(self, source: Path, store: Store, tmp_path: Path) -> None:
        tensors = {"a.weight": conv(0), "b.weight": torch.ones(5, 4, 1, 1), "c.weight": torch.ones(2, 5, 5, 5)}
        reference = saved(source, tensors, "net.safetensors")
        outcome = extract_model(reference, store, ExtractSettings(), CPU, tmp_path)
        assert (outcome.kind, outcome.filters, outcome.layers) == (OutcomeKind.EXTRACTED, 12, 1)
        assert outcome.bytes_read > 0
        (model,) = rows(store, "models")
        assert model["model_id"] == outcome.model_id
        pairs: list[dict[str, object]] = model["kernel_shapes"]  # type: ignore[assignment]
        assert {pair["key"]: pair["value"] for pair in pairs} == {"3x3": 12, "1x1": 20, "5x5": 10}
        assert (model["total_filters"], model["num_filters"], model["num_conv_layers"]) == (22, 12, 3)
        assert model["share_3x3"] == pytest.approx(12 / 22)
        assert model["num_parameters"] == sum(tensor.numel() for tensor in tensors.values())
        assert (model["bytes_total"], model["reference_key"]) == (reference.size, reference.reference_key)
        (layer,) = rows(store, "layers")
        assert (layer["name"], layer["conv_depth"], layer["depth_method"]) == ("a.weight", 0, "order")
        np.testing.assert_array_equal(filters_of(store, str(outcome.model_id)), conv(0).reshape(-1, 9).numpy())

    def test_the_same_content_is_the_same_model_whatever_its_name(self, source: Path, tmp_path: Path) -> None:
        saved(source, {"a.weight": conv(0)})
        (first,) = extracted(source, tmp_path / "store").values()
        (source / "net.pth").rename(source / "renamed.pth")
        (again,) = extracted(source, tmp_path / "store").values()
        assert (again.kind, again.model_id, again.filters) == (OutcomeKind.ALREADY_THERE, first.model_id, 0)

    def test_two_extractions_write_the_same_bytes(self, source: Path, tmp_path: Path) -> None:
        saved(source, {"a.weight": conv(0), "b.weight": conv(1, 3, 4)})
        (one,) = extracted(source, tmp_path / "one").values()
        extracted(source, tmp_path / "two")
        for table in ("filters", "layers"):
            first, second = (tmp_path / name / table / f"{one.model_id}.parquet" for name in ("one", "two"))
            assert first.read_bytes() == second.read_bytes(), table

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_half_precision_is_exact_and_dtype_is_kept(
        self, source: Path, store: Store, tmp_path: Path, dtype: torch.dtype
    ) -> None:
        weight = conv(1).to(dtype)
        outcome = extract_model(saved(source, {"a.weight": weight}), store, ExtractSettings(), CPU, tmp_path)
        (layer,) = rows(store, "layers")
        assert layer["dtype"] == str(dtype).removeprefix("torch.")
        np.testing.assert_array_equal(filters_of(store, str(outcome.model_id)), weight.float().reshape(-1, 9).numpy())

    def test_notes_tell_what_was_left_out_and_another_choice_is_another_model(self, source: Path, store: Store) -> None:
        state = {"a.weight": conv(1), "b.weight": conv(2), "up.weight": conv(3, 6, 4), "up.bias": torch.ones(4)}
        content = {"state_dict": state, "optimizer": {"state": {0: {"exp_avg": conv(4)}}, "param_groups": []}}
        torch.save(content, source / "trained.pth")
        folder = Path(store.uri)
        extracted(source, folder)
        (model,) = rows(store, "models")
        assert model["num_filters"] == 24
        notes = " ".join(model["notes"])  # type: ignore[arg-type]
        assert "optimizer" in notes
        assert "up.weight" in notes
        assert [row["name"] for row in rows(store, "layers")] == ["a.weight", "b.weight"]
        (outcome,) = extracted(source, folder, include_transposed=True).values()
        assert outcome.kind is OutcomeKind.EXTRACTED
        counts = {row["variant"]: row["num_filters"] for row in rows(store, "models")}
        assert counts == {None: 24, "transposed": 48}

    def test_what_cannot_be_extracted_leaves_nothing(self, source: Path, tmp_path: Path) -> None:
        saved(source, {"a.weight": conv(1), "b.weight": conv(0, 4, 4).fill_(float("nan"))})
        saved(source, {"fc.weight": torch.ones(2, 2)}, "linear.pth")
        outcomes = extracted(source, tmp_path / "store")
        assert {o.kind for o in outcomes.values()} == {OutcomeKind.SKIPPED}
        assert {o.reason for o in outcomes.values()} == {"non_finite", "no_3x3_convolution"}
        assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []

    def test_content_other_than_promised_is_refused(self, source: Path, store: Store, tmp_path: Path) -> None:
        saved(source, {"a.weight": conv(1)})
        (source / "manifest.yaml").write_text(f"models:\n  - {{file: net.pth, name: net, sha256: {'0' * 64}}}\n")
        (outcome,) = extracted(source, Path(store.uri)).values()
        assert (outcome.kind, outcome.reason) == (OutcomeKind.SKIPPED, "checksum_mismatch")
        assert outcome.place.expected == "0" * 64
        assert len(str(outcome.place.found)) == 64
        assert store.model_ids() == set()
