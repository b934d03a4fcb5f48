"""Depth from names and positions, and how close it comes to the traced one."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from scipy.stats import kendalltau

from distributed.graph.order import natural_key, order_depths
from distributed.graph.tracing import trace

KERNEL = (8, 8, 3, 3)


def test_a_known_order_is_kept_and_other_tensors_do_not_count() -> None:
    names = ["z.weight", "z.bias", "a.weight", "a.running_mean", "m.weight", "fc.weight"]
    shapes = [KERNEL, (8,), (8, 8, 1, 1), (8,), KERNEL, (10, 8)]
    assert order_depths(names, shapes, order_known=True) == {"z.weight": 0, "a.weight": 1, "m.weight": 2}


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["layer10.conv", "layer9.conv", "layer9.10.conv", "layer9.2.conv", "layer.conv", "9.conv", "10.conv"]
    assert sorted(names, key=natural_key) == [
        "9.conv",
        "10.conv",
        "layer.conv",
        "layer9.2.conv",
        "layer9.10.conv",
        "layer9.conv",
        "layer10.conv",
    ]


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
    grey = {"body.conv": KERNEL, "first.conv": (8, 1, 3, 3)}
    assert list(order_depths(list(grey), list(grey.values()), order_known=False)) == ["first.conv", "body.conv"]
    depthwise = {"body.conv": KERNEL, "first.conv": (8, 1, 3, 3), "second.conv": (8, 1, 3, 3)}
    assert list(order_depths(list(depthwise), list(depthwise.values()), order_known=False)) == list(depthwise)


def test_nothing_to_order() -> None:
    assert order_depths([], [], order_known=False) == {}
    assert order_depths(["fc.weight"], [(3, 4)], order_known=True) == {}
    with pytest.raises(ValueError, match="zip"):
        order_depths(["a"], [], order_known=True)


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
    assert np.mean(unknown) > 0.88, dict(zip(ARCHITECTURES, unknown, strict=True))
    assert np.mean(unknown) <= np.mean(known)
