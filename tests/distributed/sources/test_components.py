"""Which models a repository holds: components of a pipeline, alternatives of the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from distributed.errors import UserError
from distributed.extraction import described
from distributed.single import find_model
from distributed.sources import list_references
from distributed.sources.components import components_of
from distributed.sources.files import find_models
from distributed.sources.settings import HubSettings
from tests.distributed.sources.models import weights
from tests.loopback_hub import LoopbackHub


def found(*paths: str) -> dict[str, str]:
    """Component → entry."""
    models = find_models(paths, lambda path: "")
    return {each.folder: each.model.entry for each in components_of(models, set(paths))}


PIPELINE = [
    "model_index.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.bin",
    "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin",
    "text_encoder/model.onnx",
    "onnx/unet/model.onnx",
    "v1-5-pruned.ckpt",
    "v1-5-pruned-emaonly.safetensors",
]


def test_a_pipeline_is_one_model_a_component() -> None:
    assert found(*PIPELINE) == {
        "text_encoder": "text_encoder/model.safetensors",
        "unet": "unet/diffusion_pytorch_model.safetensors",
        "vae": "vae/diffusion_pytorch_model.bin",
    }
    models = find_models(PIPELINE, lambda path: "")
    parts = components_of(models, set(PIPELINE))
    told = {path for each in parts for path in (*each.model.files, *each.model.left_out)}
    assert told == {path for path in PIPELINE if not path.endswith(".json")}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["model.fp16.safetensors", "pytorch_model.bin"], "pytorch_model.bin"),
        (["model.safetensors", "pytorch_model.fp16.bin"], "model.safetensors"),
        (["model.safetensors", "pytorch_model.bin"], "model.safetensors"),
        (["fp16/model.safetensors", "pytorch_model.bin"], "pytorch_model.bin"),
        (["net_fp16.safetensors", "net.pth"], "net.pth"),
        (["model_quantized.onnx", "model.fp16.safetensors"], "model.fp16.safetensors"),
        (["model.fp16.safetensors"], "model.fp16.safetensors"),
        (["net_fp160.safetensors", "net.pth"], "net_fp160.safetensors"),  # a number, no precision
        (["model.safetensors", "onnx/model.onnx", "checkpoint-500/pytorch_model.bin"], "model.safetensors"),
        (["onnx/model_quantized.onnx", "onnx/model.onnx"], "onnx/model.onnx"),
        (["weights/best.pth"], "weights/best.pth"),
        (["b.pth", "a.pth", "sub/0.pth"], "a.pth"),
    ],
)
def test_alternatives_are_one_model(paths: list[str], expected: str) -> None:
    assert found(*paths) == {"": expected}


def test_folders_of_models_are_models_each() -> None:
    paths = ["a/model.safetensors", "b/model.safetensors", "b/fp16/model.safetensors", "b/onnx/model.onnx"]
    assert found(*paths) == {"a": "a/model.safetensors", "b": "b/model.safetensors"}
    assert found("G/net.pth", "D/net.pth") == {"D": "D/net.pth", "G": "G/net.pth"}
    assert found("model.safetensors", "head/head.pth", "head/config.json") == {
        "": "model.safetensors",
        "head": "head/head.pth",
    }


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*"], ["b.safetensors", "net.bin", "unet/model.safetensors"]),
        (["*.safetensors"], ["b.safetensors", "net.fp16.safetensors", "unet/model.safetensors"]),
        (["b.*", "u*.safetensors", "unet/pytorch_model.bin"], ["b.safetensors", "unet/pytorch_model.bin"]),
        (["net.bin", "net.pth"], ["net.bin", "net.pth"]),  # named by its whole path: asked for
    ],
)  # fmt: skip
def test_patterns_take_no_weights_twice(patterns: list[str], expected: list[str]) -> None:
    paths = ["net.fp16.safetensors", "net.bin", "net.pth", "b.safetensors", "b.fp16.safetensors"]
    paths += ["unet/model.safetensors", "unet/pytorch_model.bin", "unet/model.fp16.safetensors"]
    assert [model.entry for model in find_models(paths, lambda path: "", patterns)] == expected


def test_a_component_has_its_own_name_and_description(hub: LoopbackHub, tmp_path: Path) -> None:
    root = hub.root / "o/sd"
    for part in ("unet", "vae"):
        (root / part).mkdir(parents=True)
        save_file(weights(), root / part / "diffusion_pytorch_model.safetensors")
        (root / part / "config.json").write_text(f'{{"_class_name": "The{part}", "_diffusers_version": "0.1"}}')
    (root / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (root / "README.md").write_text("---\nlicense: openrail\npipeline_tag: text-to-image\n---\n")
    unet, vae = list_references(HubSettings(repos=("o/sd",)))
    assert (unet.name, vae.name) == ("o/sd/unet", "o/sd/vae")
    assert not hub.sent("resolve")
    assert described(unet, tmp_path).metadata.architecture == "Theunet"
    known = described(vae, tmp_path).metadata
    assert (known.architecture, known.library, known.license) == ("Thevae", "diffusers", "openrail")
    assert find_model("hub:o/sd/vae") == vae
    with pytest.raises(UserError, match="names 2 models; choose one: hub:o/sd/unet, hub:o/sd/vae"):
        find_model("hub:o/sd")
    with pytest.raises(UserError, match="no such component of o/sd; there is hub:o/sd/unet, hub:o/sd/vae"):
        find_model("hub:o/sd/decoder")
