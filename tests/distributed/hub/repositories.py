"""Repositories in the layouts that the Hub holds, with random weights of which the 3x3 ones are a part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from tests.distributed.sources.models import write_card

State = dict[str, torch.Tensor]

#: Their class names are known, and no builder: order of the file instead of a trace.
_CONFIG = {"architectures": ["Net"], "model_type": "toy"}


def state_of(seed: int, channels: int = 24, padding: int = 60_000) -> State:
    """Three 3x3 convolutions (46 kB at 24 channels), a 1x1, and a classifier of ``padding`` numbers between them."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "conv1.weight": random(channels, 3, 3, 3),
        "conv2.weight": random(channels, channels, 3, 3),
        "fc.weight": random(10, padding // 10),
        "mix.weight": random(channels, channels, 1, 1),
        "conv3.weight": random(channels, channels, 3, 3),
    }


def half(state: State) -> State:
    """The same in half precision."""
    return {name: tensor.half() for name, tensor in state.items()}


def _folder(root: Path, repo: str, config: Mapping[str, object] | None = _CONFIG) -> Path:
    folder = root / repo
    write_card(folder, {"license": "mit", "pipeline_tag": "image-classification"})
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def plain(root: Path, repo: str = "lab/plain", seed: int = 1) -> None:
    """One safetensors file; its config has to be read, for the API does not repeat a name alone."""
    save_file(state_of(seed), _folder(root, repo, {"architecture": "net"}) / "model.safetensors")


def shards(root: Path, repo: str = "lab/shards") -> None:
    """Three shards, of which the last holds no weight, as its names tell."""
    folder, state = _folder(root, repo), state_of(2, channels=48) | {"fc.bias": torch.zeros(100_000)}
    groups = (("conv1.weight", "conv2.weight"), ("mix.weight", "conv3.weight", "fc.weight"), ("fc.bias",))
    places: dict[str, str] = {}
    for number, names in enumerate(groups, 1):
        file = f"model-{number:05d}-of-00003.safetensors"
        save_file({name: state[name] for name in names}, folder / file)
        places |= dict.fromkeys(names, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def zipped(root: Path, repo: str = "lab/zip-bin") -> None:
    """A .bin as torch writes it since 1.6."""
    torch.save(state_of(3), _folder(root, repo) / "pytorch_model.bin")


def legacy(root: Path, repo: str = "lab/legacy-bin") -> None:
    """A .bin as torch wrote it before 1.6."""
    torch.save(state_of(4), _folder(root, repo) / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def half_twin(root: Path, repo: str = "lab/half-twin") -> None:
    """Full and half precision side by side, in safetensors."""
    folder, state = _folder(root, repo), state_of(5)
    save_file(half(state), folder / "model.fp16.safetensors")
    save_file(state, folder / "model.safetensors")


def half_safetensors(root: Path, repo: str = "lab/half-safetensors") -> None:
    """Full precision in a .bin alone, half precision in safetensors."""
    folder, state = _folder(root, repo), state_of(6)
    save_file(half(state), folder / "model.fp16.safetensors")
    torch.save(state, folder / "pytorch_model.bin")


def three_formats(root: Path, repo: str = "lab/three-formats") -> None:
    """The same weights in safetensors, .bin and ONNX."""
    folder, state = _folder(root, repo), state_of(7)
    save_file(state, folder / "model.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "onnx").mkdir()
    tensors = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in state.items() if "conv" in name]
    names = [tensor.name for tensor in tensors]
    nodes = [helper.make_node("Conv", [f"x{i}", name], [f"x{i + 1}"]) for i, name in enumerate(names)]
    info = helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, 3, 16, 16])
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [info], [], tensors)), folder / "onnx/model.onnx")


def diffusers(root: Path, repo: str = "lab/diffusion") -> None:
    """Three components, one without 3x3 convolutions, each with its half-precision twin."""
    folder = _folder(root, repo, None)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    text = {"text_model.embeddings.weight": torch.zeros(100, 200)}
    for component, name, state in (
        ("unet", "diffusion_pytorch_model", state_of(8)),
        ("vae", "diffusion_pytorch_model", state_of(9)),
        ("text_encoder", "model", text),
    ):
        (folder / component).mkdir()
        (folder / component / "config.json").write_text(json.dumps({"_class_name": component, "architecture": "x"}))
        save_file(state, folder / component / f"{name}.safetensors")
        save_file(half(state), folder / component / f"{name}.fp16.safetensors")


def timm_model(root: Path, name: str, safe: Literal[True, "both"] = "both") -> None:
    """A timm architecture as timm saves it, where timm's own tag has its repository."""
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model(name.partition(".")[0])
    save_for_hf(model, root / "timm" / name, safe_serialization=safe)
    write_card(root / "timm" / name, {"license": "apache-2.0", "library_name": "timm", "datasets": ["imagenet-1k"]})


def timm_bin(root: Path, name: str, *, zipped: bool) -> None:
    """The state of a timm architecture in a .bin alone."""
    import timm

    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    folder = _folder(root, f"{'zip' if zipped else 'legacy'}-bin/{name}")
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)


#: What each layout adds to a Hub.
LAYOUTS: tuple[Callable[[Path], None], ...] = (
    plain,
    shards,
    zipped,
    legacy,
    half_twin,
    half_safetensors,
    three_formats,
    diffusers,
)
