"""Which models a repository holds: one, or one a component folder (``unet/``, ``vae/``, ``text_encoder/``)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from distributed.sources.files import best_of, stands_for_folder
from distributed.sources.shards import WeightFiles

#: Folders that say in which form or at which time weights were saved, and nothing about what they are of.
_FORM = re.compile(
    r"(onnx|openvino|coreml|tflite|tf|flax|jax|torch|pytorch|safetensors|transformers|fp16|fp32|bf16|float16|float32"
    r"|u?int[48]|quanti[sz]ed|optimized)([._-].*)?"
    r"|(pre-?trained|trained)?[_-]?(weights?|models?|checkpoints?|ckpts?|snapshots?)"
    r"|(checkpoint|ckpt|snapshot|epoch|step|iter(ation)?|global_step)s?[_-]?[0-9]+",
    re.IGNORECASE,
)

#: In the root of a diffusers-like repository: its folders are the components of one pipeline.
_PIPELINE = "model_index.json"


@dataclass(frozen=True, slots=True)
class Component:
    """One model of a repository; ``folder`` is its part of the repository, "" for the repository's own model."""

    folder: str
    model: WeightFiles


def components_of(models: Sequence[WeightFiles], paths: Container[str]) -> list[Component]:
    """The models of a repository, one a component, in order of their folders.

    Files of one component are alternatives: the preferred is taken. A folder is a component of its own if it holds a
    model's usual file or a ``config.json``, or if there is no model outside of such folders. A single file beside the
    components of a pipeline is the pipeline once more.

    Args:
        models: as ``find_models`` gives them.
        paths: all files of the repository.
    """
    groups: dict[str, list[WeightFiles]] = defaultdict(list)
    for model in models:
        groups[_component(model.entry)].append(model)
    rest = groups.pop("", [])
    if rest:
        for folder in list(groups):
            is_model = any(stands_for_folder(each.entry) for each in groups[folder])
            if not is_model and f"{folder}/config.json" not in paths:
                rest += groups.pop(folder)
    whole = [best_of(rest)] if rest else []
    parts = [Component(folder, best_of(same)) for folder, same in sorted(groups.items())]
    if whole and parts and _PIPELINE in paths and not stands_for_folder(whole[0].entry):
        first = parts[0].model
        left_out = tuple(sorted({*first.left_out, whole[0].entry, *whole[0].left_out}))
        return [replace(parts[0], model=replace(first, left_out=left_out)), *parts[1:]]
    return [*(Component("", each) for each in whole), *parts]


def config_path(component: str, entry: str, paths: Container[str]) -> str | None:
    """The ``config.json`` that describes a component: beside its entry, else in its own folder; None: there is none."""
    for folder in (entry.rpartition("/")[0], component):
        path = f"{folder}/config.json" if folder else "config.json"
        if path in paths:
            return path
    return None


def _component(entry: str) -> str:
    return "/".join(part for part in entry.split("/")[:-1] if not _FORM.fullmatch(part))
