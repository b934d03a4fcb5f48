"""Depth from names and positions, and how close it comes to the traced one."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from scipy.stats import kendalltau

from distributed.graph.name_order import flow_order
from distributed.graph.order import order_depths
from distributed.graph.tracing import trace

KERNEL = (8, 8, 3, 3)


def test_a_known_order_is_kept_and_other_tensors_do_not_count() -> None:
    names = ["z.weight", "z.bias", "a.weight", "a.running_mean", "m.weight", "fc.weight"]
    shapes = [KERNEL, (8,), (8, 8, 1, 1), (8,), KERNEL, (10, 8)]
    assert order_depths(names, shapes, order_known=True) == {"z.weight": 0, "a.weight": 1, "m.weight": 2}


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["9.conv", "10.conv", "layer.conv", "layer9.2.conv", "layer9.10.conv", "layer10.conv"]
    assert list(order_depths(names[::-1], [KERNEL] * len(names), order_known=False)) == names


def test_numbers_of_thousands_of_digits_sort_as_numbers() -> None:
    numbers = ["9", "010", "11", "9" * 4300, "1" + "0" * 4300, "1" * 5000, "2" + "0" * 5000]
    names = [f"layer{number}.conv" for number in numbers]
    shapes = [KERNEL] * len(names)
    assert list(order_depths(names[::-1], shapes, order_known=False)) == names


def test_the_stem_that_reads_the_image_comes_first() -> None:
    shapes = {"blocks.0.conv": KERNEL, "stem.0.conv": KERNEL, "stem.1.conv": (8, 3, 3, 3), "blocks.1.conv": KERNEL}
    found = order_depths(list(shapes), list(shapes.values()), order_known=False)
    assert list(found) == ["stem.1.conv", "stem.0.conv", "blocks.0.conv", "blocks.1.conv"]
    assert list(found.values()) == [0, 1, 2, 3]


def test_a_grey_stem_is_found_only_where_no_depthwise_layer_could_be_meant() -> None:
    grey = {"a.conv": KERNEL, "b.conv": (8, 1, 3, 3)}
    assert list(order_depths(list(grey), list(grey.values()), order_known=False)) == ["b.conv", "a.conv"]
    depthwise = {"a.conv": KERNEL, "b.conv": (8, 1, 3, 3), "c.conv": (8, 1, 3, 3)}
    assert list(order_depths(list(depthwise), list(depthwise.values()), order_known=False)) == list(depthwise)


def test_nothing_to_order() -> None:
    assert order_depths([], [], order_known=False) == {}
    assert order_depths(["fc.weight"], [(3, 4)], order_known=True) == {}
    with pytest.raises(ValueError, match="zip"):
        order_depths(["a"], [], order_known=True)


def conv(name: str, inputs: int, outputs: int, size: int = 3) -> tuple[str, tuple[int, ...]]:
    return f"{name}.weight", (outputs, inputs, size, size)


def resnet(name: str, inputs: int, outputs: int) -> list[tuple[str, tuple[int, ...]]]:
    """A block of diffusers: the shortcut reads what conv1 reads."""
    shortcut = [conv(f"{name}.conv_shortcut", inputs, outputs, 1)] if inputs != outputs else []
    return [*shortcut, conv(f"{name}.conv1", inputs, outputs), conv(f"{name}.conv2", outputs, outputs)]


def diffusers_unet() -> list[tuple[str, tuple[int, ...]]]:
    """UNet2DConditionModel with two levels, in the order of its data flow."""
    flow = [conv("conv_in", 4, 32)]
    for level, (inputs, outputs) in enumerate([(32, 32), (32, 64)]):
        block = f"down_blocks.{level}"
        for i in range(2):
            flow += resnet(f"{block}.resnets.{i}", inputs if i == 0 else outputs, outputs)
            flow += [conv(f"{block}.attentions.{i}.proj_{end}", outputs, outputs, 1) for end in ("in", "out")]
        flow += [conv(f"{block}.downsamplers.0.conv", outputs, outputs)] if level == 0 else []
    flow += resnet("mid_block.resnets.0", 64, 64)
    flow += [conv(f"mid_block.attentions.0.proj_{end}", 64, 64, 1) for end in ("in", "out")]
    flow += resnet("mid_block.resnets.1", 64, 64)
    for level, (inputs, outputs) in enumerate([(64, 64), (64, 32)]):
        block = f"up_blocks.{level}"
        for i in range(3):
            flow += resnet(f"{block}.resnets.{i}", inputs + outputs, outputs)
            flow += [conv(f"{block}.attentions.{i}.proj_{end}", outputs, outputs, 1) for end in ("in", "out")]
        flow += [conv(f"{block}.upsamplers.0.conv", outputs, outputs)] if level == 0 else []
    return [*flow, conv("conv_out", 32, 4)]


def latent_diffusion_decoder() -> list[tuple[str, tuple[int, ...]]]:
    """Its ``up`` is numbered from the output."""
    flow = [conv("decoder.conv_in", 4, 128)]
    flow += [conv(f"decoder.mid.block_{i}.conv{j}", 128, 128) for i in (1, 2) for j in (1, 2)]
    for level, inputs, outputs in ((2, 128, 128), (1, 128, 64), (0, 64, 32)):
        for i in range(2):
            first = inputs if i == 0 else outputs
            flow += [
                conv(f"decoder.up.{level}.block.{i}.conv{j}", first if j == 1 else outputs, outputs) for j in (1, 2)
            ]
        flow += [conv(f"decoder.up.{level}.upsample.conv", outputs, outputs)] if level else []
    return [*flow, conv("decoder.conv_out", 32, 3)]


def two_convolutions(name: str, inputs: int, outputs: int) -> list[tuple[str, tuple[int, ...]]]:
    return [conv(f"{name}.double_conv.0", inputs, outputs), conv(f"{name}.double_conv.3", outputs, outputs)]


FLOWS = {
    "diffusers": diffusers_unet(),
    "latent diffusion": latent_diffusion_decoder(),
    "U-Net of inc, down, up and outc": [
        *two_convolutions("inc", 3, 16),
        *two_convolutions("down1.maxpool_conv.1", 16, 32),
        *two_convolutions("down2.maxpool_conv.1", 32, 64),
        *two_convolutions("up1.conv", 96, 32),
        *two_convolutions("up2.conv", 48, 16),
        conv("outc.conv", 16, 2, 1),
    ],
    "U-Net whose decoder counts down": [
        *(
            conv(f"encoder{i}.enc{i}conv{j}", [3, 16, 32][i - 1] if j == 1 else 8 << i, 8 << i)
            for i in (1, 2, 3)
            for j in (1, 2)
        ),
        *(conv(f"bottleneck.bottleneckconv{j}", 64 * j, 128) for j in (1, 2)),
        *(conv(f"decoder{i}.dec{i}conv{j}", (32 << i) // j // 2, 8 << i) for i in (3, 2, 1) for j in (1, 2)),
        conv("conv", 16, 1, 1),
    ],
    "super-resolution": [
        conv("conv_first", 3, 16),
        *(conv(f"body.{i}.rdb{j}.conv{k}", 16, 16) for i in (0, 1) for j in (1, 2) for k in (1, 2)),
        conv("conv_body", 16, 16),
        conv("conv_up1", 16, 16),
        conv("conv_up2", 16, 16),
        conv("conv_hr", 16, 16),
        conv("conv_last", 16, 3),
    ],
    "head, body, enlarge, tail": [
        conv("head", 3, 16),
        conv("body.0.conv1", 16, 16),
        conv("body.1", 16, 16),
        conv("enlarge.0", 16, 64),
        conv("tail", 16, 3),
    ],
    "stem, layers, head": [
        conv("stem.conv", 3, 8),
        conv("layers.0.downsample", 8, 16, 1),
        conv("layers.0.blocks.0.attn.qkv", 16, 48, 1),
        conv("layers.0.blocks.0.attn.proj", 16, 16, 1),
        conv("layers.0.blocks.0.mlp.fc1", 16, 32, 1),
        conv("layers.0.blocks.0.mlp.fc2", 32, 16, 1),
        conv("layers.1.blocks.0.conv", 16, 16),
        conv("head.conv", 16, 4, 1),
    ],
    "channels tell expansion before projection": [
        conv("stem", 3, 16),
        conv("blocks.0.expansion", 16, 64, 1),
        ("blocks.0.depthwise.weight", (64, 1, 3, 3)),
        conv("blocks.0.compression", 64, 24, 1),
    ],
    "dense blocks and transitions": [
        conv("features.conv0", 3, 8),
        conv("features.denseblock1.denselayer1.conv1", 8, 8),
        conv("features.transition1.conv", 16, 8, 1),
        conv("features.denseblock2.denselayer1.conv1", 8, 8),
    ],
}


@pytest.mark.parametrize("case", FLOWS)
def test_families_of_names_are_ordered_as_their_networks_are(case: str) -> None:
    flow = dict(FLOWS[case])
    found = order_depths(sorted(flow), [flow[name] for name in sorted(flow)], order_known=False)
    assert sorted(found) == sorted(flow)
    assert list(found) == list(flow)


def test_any_names_have_an_order() -> None:
    names = [
        "a",
        "a.b",
        "a.b.c",
        ".",
        "..",
        "1",
        "1.1",
        "9" * 5000,
        ".".join("x" * 3000),
        "a." * 2000 + "weight",
        "up.0",
    ]
    assert sorted(flow_order(dict.fromkeys(names, KERNEL))) == sorted(names)
    assert len(order_depths(names, [KERNEL] * len(names), order_known=False)) == len(names)


ARCHITECTURES = [
    "convnext_atto",
    "cspresnet50",
    "densenet121",
    "dla34",
    "efficientnet_b0",
    "ghostnet_050",
    "hardcorenas_a",
    "inception_v3",
    "mixnet_s",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "nf_regnet_b0",
    "regnety_002",
    "repvgg_a0",
    "resnet18",
    "resnet50",
    "rexnet_100",
    "tf_efficientnetv2_b0",
    "vgg11",
    "xception41",
]


def test_order_follows_traced_depth() -> None:
    """Kendall tau per architecture: insertion order, and names as a safetensors header gives them."""
    known, unknown = [], []
    for name in ARCHITECTURES:
        facts = trace(f"timm:{name}").convolutions
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False)
        shapes = {weight: tuple(t.shape) for weight, t in model.state_dict().items() if weight in facts}
        true = [facts[weight].depth for weight in shapes]
        shuffled = sorted(shapes)
        for taus, names, order_known in ((known, list(shapes), True), (unknown, shuffled, False)):
            found = order_depths(names, [shapes[weight] for weight in names], order_known)
            taus.append(kendalltau(true, [found[weight] for weight in shapes]).statistic)
    assert min(known) > 0.9, dict(zip(ARCHITECTURES, known, strict=True))
    assert np.mean(known) > 0.98
    assert np.mean(unknown) > 0.97, dict(zip(ARCHITECTURES, unknown, strict=True))
