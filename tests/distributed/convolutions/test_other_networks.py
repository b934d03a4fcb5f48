"""Networks that are not the model are left out with a note; by name one takes them or leaves others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distributed.convolutions.other_networks import other_networks
from distributed.errors import UnextractableError
from distributed.extraction import plan_layers
from distributed.formats.base import TensorEntry
from distributed.name_patterns import NamePatterns
from distributed.references import FileReference, ModelReference
from distributed.settings import ExtractSettings
from tests.distributed.formats.helpers import open_paths

KERNEL = (8, 8, 3, 3)


def entries(*names: str, shape: tuple[int, ...] = KERNEL) -> list[TensorEntry]:
    return [TensorEntry(name, shape, "float32") for name in names]


def left(*names: str) -> tuple[set[str], tuple[str, ...]]:
    found = other_networks(entries(*names), NamePatterns(), by_name=True)
    return set(found.names), found.notes


OTHERS = {
    "perceptual loss": ("loss.perceptual_loss.net.slice1.0.weight", "loss.perceptual_loss.net.slice2.3.weight"),
    "criterion": ("criterion.vgg.features.0.weight",),
    "criterion of pix2pixHD": ("criterionVGG.vgg.slice1.0.weight",),
    "VGG loss": ("vgg_loss.vgg.0.weight",),
    "identity loss": ("id_loss.facenet.body.0.weight",),
    "loss function": ("loss_fn.lpips.net.0.weight",),
    "camel case": ("perceptualLoss.model.0.weight",),
    "FID": ("fid.inception.blocks.0.weight",),
    "FID of validation": ("val_fid.inception.blocks.0.weight",),
    "metrics": ("metrics.lpips.net.0.weight",),
    "teacher": ("teacher.layer1.0.conv.weight",),
    "teacher of a part": ("distiller.teacher_model.stem.weight", "distiller.teacher_model.body.weight"),
    "adapter": ("body.0.lora_A.default.weight", "body.0.lora_B.default.weight"),
    "adapter of diffusers": ("unet.attn.processor.to_q_lora.down.weight",),
    "kohya's adapter": ("lora_unet_mid_conv1.lora_down.weight", "lora_unet_mid_conv1.lora_up.weight"),
    "full difference of LyCORIS": ("lycoris_unet_mid_conv1.diff",),
    "Tucker factors of LyCORIS": ("mid.conv1.hada_t1", "mid.conv1.lokr_t2", "mid.conv1.lora_mid.weight"),
}
MODEL = ("encoder.conv_in.weight", "decoder.conv_out.weight", "loss.discriminator.main.0.weight", "ema.conv.weight")


@pytest.mark.parametrize("case", OTHERS)
def test_other_networks_are_left_out_beside_the_model(case: str) -> None:
    names, notes = left(*MODEL, *OTHERS[case])
    assert names == set(OTHERS[case])
    (note,) = notes
    assert note.startswith("left out ")


@pytest.mark.parametrize("case", [case for case in OTHERS if "dapter" not in case and "LyCORIS" not in case])
def test_alone_such_a_network_is_the_model(case: str) -> None:
    assert left(*OTHERS[case]) == (set(), ())


def test_what_only_sounds_like_one_stays() -> None:
    names = (
        *("basenet.slice1.0.weight", "vgg.features.0.weight", "inception_a.conv.weight", "lossless.conv.weight"),
        *("glossary.conv.weight", "perception.conv.weight", "refidelity.conv.weight", "teacher_forcing.conv.weight"),
        *("lora.conv.weight", "colora.conv.weight", "floral.conv.weight", "discriminator.loss_head.weight"),
    )
    assert left(*names, "conv.weight") == (set(), ())


def test_lpips_and_the_inception_of_fid_are_known_by_their_make() -> None:
    lpips = [TensorEntry(f"judge.lin{i}.model.1.weight", (1, 64, 1, 1), "float32") for i in range(5)]
    lpips += entries("judge.net.slice1.0.weight")
    fid = [TensorEntry("judge2.fc.weight", (1008, 2048), "float32"), *entries("judge2.Mixed_5b.conv.weight")]
    model = entries("conv.weight")
    found = other_networks([*model, *lpips, *fid], NamePatterns(), by_name=True)
    assert found.names == {entry.name for entry in (*lpips, *fid)}
    assert [note.split(":")[0] for note in found.notes] == [
        "left out 'judge' (6 tensors)",
        "left out 'judge2' (2 tensors)",
    ]


def test_names_take_and_leave() -> None:
    mine = entries("a.weight", "teacher.a.weight", "teacher.b.weight", "head.weight")
    found = other_networks(mine, NamePatterns(("teacher.*",), ("head.*", "teacher.b.*")), by_name=True)
    assert found.names == {"head.weight", "teacher.b.weight"}
    assert found.notes == ("left out head.weight and 1 more: extract.exclude",)
    assert other_networks(mine, NamePatterns(), by_name=False).names == set()
    assert other_networks(mine, NamePatterns(exclude=("head.*",)), by_name=False).names == {"head.weight"}


def layers(path: Path, **settings: object) -> list[str]:
    """Names of the layers that would be extracted from a file."""
    chosen = ExtractSettings(**settings)  # type: ignore[arg-type]
    file = FileReference(path.name, path.stat().st_size)
    reference = ModelReference("local", "x", str(path.parent), None, (file,), variant=chosen.variant)
    with open_paths(path, wanted=chosen.patterns.takes) as checkpoint:
        return [layer.name for layer in plan_layers(reference, checkpoint, chosen).layers]


def test_patterns_reach_a_checkpoint(tmp_path: Path) -> None:
    kernel = torch.randn(KERNEL)
    state = {"a.weight": kernel, "b.weight": kernel + 1, "teacher.c.weight": torch.randn(KERNEL)}
    torch.save({"model": state, "model_ema": {name: 0.9 * tensor for name, tensor in state.items()}}, tmp_path / "x.pt")
    assert layers(tmp_path / "x.pt") == ["a.weight", "b.weight"]
    assert layers(tmp_path / "x.pt", include="teacher.*") == ["a.weight", "b.weight", "teacher.c.weight"]
    assert layers(tmp_path / "x.pt", exclude=("b.*", "c.*")) == ["a.weight"]
    both = layers(tmp_path / "x.pt", include=("model_ema.*",), exclude="*teacher*")
    assert both == ["model.a.weight", "model.b.weight", "model_ema.a.weight", "model_ema.b.weight"]
    with pytest.raises(UnextractableError, match="no learned 3x3 convolution") as refused:
        layers(tmp_path / "x.pt", exclude="*")
    assert "extract.exclude" in str(refused.value)


def test_other_patterns_are_another_model_in_the_store() -> None:
    variants = [ExtractSettings(include=include).variant for include in ("", "a*", ("a*", "b*"))]
    assert variants == ["", "include=a*", "include=a*+include=b*"]
    assert ExtractSettings(prefer_ema=True, exclude="head.*").variant == "ema+exclude=head.*"
