"""Shards by their index: what is read of them, and which of them are left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from distributed.errors import SkipReason, UnextractableError
from distributed.formats import open_checkpoint
from distributed.formats.shard_index import may_be_convolution
from tests.distributed.formats.helpers import Served

#: Names that lead to a 3x3 convolution in some network.
MAYBE = [
    *("conv1.weight", "layer1.0.conv2.weight", "stem.0.weight", "features.3.parametrizations.weight.original1"),
    *(
        "proj.weight",
        "patch_embed.proj.weight",
        "norm.mlp_gamma.weight",
        "query.conv.weight",
        "attn.qkv_dwconv.weight",
        "w",
        "0",
        "kernel",
    ),
    *("Conv_0/kernel", "blocks.0.weight_v", "to_q.weight", "renorm_net.0.weight", "head.dense_block.0.weight"),
]
#: Names of tables, products and normalisations.
NEVER = [
    *("model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight", "lm_head.weight", "conv1.bias"),
    *("model.layers.3.mlp.gate_up_proj.qweight", "model.layers.0.post_attention_layernorm.weight", "model.norm.weight"),
    *("bn1.running_mean", "bn1.num_batches_tracked", "encoder.layer.0.attention.self.query.weight", "h.0.ln_1.weight"),
    *("blocks.0.mlp.fc1.weight", "blocks.0.norm1.weight", "transformer.wte.weight", "rotary_emb.inv_freq"),
]


@pytest.mark.parametrize("name", MAYBE)
def test_what_may_be_a_convolution(name: str) -> None:
    assert may_be_convolution(name)


@pytest.mark.parametrize("name", NEVER)
def test_what_is_none(name: str) -> None:
    assert not may_be_convolution(name)


def shards(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], suffix: str = "safetensors") -> list[Served]:
    """The index, and the files as a server gives them."""
    for name, tensors in parts.items():
        path = folder / f"{name}.{suffix}"
        if suffix == "safetensors":
            safetensors.torch.save_file(dict(tensors), path)
        else:
            torch.save(dict(tensors), path)
    weight_map = {tensor: f"{name}.{suffix}" for name, tensors in parts.items() for tensor in tensors}
    index = folder / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return [Served(path, path.name) for path in (index, *(folder / f"{name}.{suffix}" for name in parts))]


def language(layer: int, count: int = 20) -> dict[str, Tensor]:
    return {f"model.layers.{layer}.mlp.{i}.down_proj.weight": torch.ones(100, 100) for i in range(count)}


def test_heads_are_read_once(tmp_path: Path) -> None:
    parts = {f"s{i}": {f"{i}.{j}.weight": torch.ones(100, 100) for j in range(20)} for i in range(5)}
    index, *files = shards(tmp_path, parts)
    with open_checkpoint([index, *files]) as checkpoint:
        assert len(checkpoint.entries) == 100
    assert len(index.calls) == 1
    assert [len(file.calls) for file in files] == [1] * 5
    assert sum(file.bytes_read for file in files) < 50_000  # the index tells how long they are


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_where_no_name_is_a_convolutions_nothing_is_read(tmp_path: Path, suffix: str) -> None:
    index, *files = shards(tmp_path, {f"s{i}": language(i) for i in range(4)}, suffix)
    with pytest.raises(UnextractableError, match=r"no learned 3x3 convolution .*4 of 4 shards") as caught:
        open_checkpoint([index, *files])
    assert caught.value.reason is SkipReason.NO_3X3_CONVOLUTION
    assert caught.value.place.file == index.name
    assert [file.bytes_read for file in files] == [0] * 4


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_only_the_shards_that_may_hold_one(tmp_path: Path, suffix: str) -> None:
    vision = {"vision.patch_embedding.weight": torch.ones(8, 3, 14, 14), "vision.post.weight": torch.ones(9, 9)}
    index, *files = shards(tmp_path, {"a": language(0), "b": vision, "c": language(1)}, suffix)
    with open_checkpoint([index, *files]) as checkpoint:
        assert [entry.name for entry in checkpoint.entries] == list(vision)
        assert checkpoint.notes == ("did not read 2 of 3 shards, in which the index names no convolution",)
    assert [file.bytes_read > 0 for file in files] == [False, True, False]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_where_one_does_all_are_read(tmp_path: Path, suffix: str) -> None:
    index, *files = shards(tmp_path, {"a": language(0), "b": {"stem.weight": torch.ones(8, 3, 3, 3)}}, suffix)
    with open_checkpoint([index, *files]) as checkpoint:
        assert len(checkpoint.entries) == 21
        assert checkpoint.notes == ()
    asked = [each for file in files for call in file.calls for each in call]
    assert len(set(asked)) == len(asked)  # nothing twice


def test_an_index_that_names_the_wrong_shards(tmp_path: Path) -> None:
    index, *files = shards(tmp_path, {"a": language(0), "b": {"stem.weight": torch.ones(8, 3, 3, 3), **language(1)}})
    document = json.loads((tmp_path / index.name).read_text())
    moved = {name: "b.safetensors" if "layers" in name else "a.safetensors" for name in document["weight_map"]}
    (tmp_path / index.name).write_text(json.dumps({"weight_map": moved}))
    with open_checkpoint([Served(tmp_path / index.name, index.name), *files]) as checkpoint:
        assert "stem.weight" in [entry.name for entry in checkpoint.entries]
