"""Why a model, or a layer of it, is not in the store: the whole reason, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from distributed.outcomes import Outcome, OutcomeKind
from distributed.settings import NonFinite
from tests.distributed.in_process import extract_here


def conv(seed: int) -> torch.Tensor:
    return torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed))


def rows(store: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(store / name).to_pylist()


def only(outcomes: list[Outcome]) -> Outcome:
    (outcome,) = outcomes
    return outcome


def test_a_skip_says_everything_that_was_left_aside(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"exp_avg": conv(0)}}, "param_groups": []}
    state = {
        "up.conv_transpose.weight": torch.randn(3, 4, 3, 3),
        "table": torch.randn(4, 4, 3, 3),
        "s": torch.eye(3).to_sparse(),
    }
    (tmp_path / "in").mkdir()
    torch.save({"model": state, "optimizer": optimizer}, tmp_path / "in/net.pth")
    outcome = only(extract_here(tmp_path / "in", tmp_path / "store"))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.SKIPPED, "no_3x3_convolution")
    assert outcome.message is not None
    for words in (
        "net.pth: no learned 3x3 convolution (no 2-D convolution",
        "left out optimizer state 'optimizer'",
        "left out 's': a sparse_coo tensor",
        "left out up.conv_transpose.weight: a transposed convolution (extract.include_transposed=true takes it)",
        "left out table: 4-D, but not named like a weight",
    ):
        assert words in outcome.message
    (skip,) = rows(tmp_path / "store", "skips")
    assert skip["message"] == outcome.message


def test_a_skip_names_only_so_many_notes(tmp_path: Path) -> None:
    state = {f"s{number}": torch.eye(3).to_sparse() for number in range(30)}
    (tmp_path / "in").mkdir()
    torch.save(state, tmp_path / "in/net.pth")
    message = only(extract_here(tmp_path / "in", tmp_path / "store")).message
    assert message is not None
    assert message.endswith("; and 18 notes more)")
    assert "(no tensor; left out 's0'" in message


def test_a_skip_names_the_files_that_were_not_tried(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    torch.save({"conv.weight": conv(0)}, folder / "pytorch_model.bin")
    message = only(extract_here(folder, tmp_path / "store")).message
    assert message is not None
    assert "git lfs pull" in message
    assert message.endswith("; not read: pytorch_model.bin (source.path=… names one)")
    assert only(extract_here(folder / "pytorch_model.bin", tmp_path / "store")).kind is OutcomeKind.EXTRACTED


def test_stale_indexes_do_not_hide_what_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sharded").mkdir(parents=True)
    index = json.dumps({"weight_map": {"a.weight": "model-00001-of-00003.safetensors"}})
    for place in (folder, folder / "sharded"):
        (place / "model.safetensors.index.json").write_text(index)
    save_file({"a.weight": conv(0)}, folder / "model.safetensors")
    save_file({"a.weight": conv(1)}, folder / "sharded/model-00001-of-00002.safetensors")
    save_file({"b.weight": conv(2)}, folder / "sharded/model-00002-of-00002.safetensors")
    outcomes = extract_here(folder, tmp_path / "store")
    assert [(outcome.kind, outcome.layers) for outcome in outcomes] == [
        (OutcomeKind.EXTRACTED, 1),
        (OutcomeKind.EXTRACTED, 2),
    ]


def test_a_layer_that_is_not_finite_refuses_the_model_unless_it_may_be_left_out(tmp_path: Path) -> None:
    broken = conv(1)
    broken[0, 0, 0, 0] = float("nan")
    (tmp_path / "in").mkdir()
    torch.save({"a.weight": conv(0), "b.weight": broken, "c.weight": conv(2)}, tmp_path / "in/net.pth")
    store = tmp_path / "store"
    refused = only(extract_here(tmp_path / "in", store))
    assert (refused.kind, refused.reason, refused.place.tensor) == (OutcomeKind.SKIPPED, "non_finite", "b.weight")
    assert refused.message is not None
    assert refused.message.endswith("(extract.non_finite=leave_out takes the other layers)")
    assert only(extract_here(tmp_path / "in", store)).known

    taken = only(extract_here(tmp_path / "in", store, non_finite=NonFinite.leave_out))
    assert (taken.kind, taken.layers, taken.known) == (OutcomeKind.EXTRACTED, 2, False)
    assert [layer["name"] for layer in rows(store, "layers")] == ["a.weight", "c.weight"]
    (model,) = rows(store, "models")
    assert (model["num_filters"], model["kernel_shapes"], model["num_conv_layers"]) == (
        24,
        [{"key": "3x3", "value": 24}],
        2,
    )
    assert any(note.startswith("left out b.weight: 1 of 108 weights are NaN or infinite") for note in model["notes"])
    assert not (store / "skips").exists() or rows(store, "skips") == []
    assert only(extract_here(tmp_path / "in", store)).kind is OutcomeKind.ALREADY_THERE


def test_nothing_is_left_of_a_model_without_a_finite_layer(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    torch.save({"a.weight": conv(0) / 0}, tmp_path / "in/net.pth")
    outcome = only(extract_here(tmp_path / "in", tmp_path / "store", non_finite=NonFinite.leave_out))
    assert outcome.kind is OutcomeKind.SKIPPED
    assert outcome.message is not None
    assert outcome.message.startswith(
        "no learned 3x3 convolution is left: left out a.weight: 108 of 108 weights are NaN"
    )
