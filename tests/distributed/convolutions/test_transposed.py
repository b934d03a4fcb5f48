"""Transposed convolutions without a bias, in real modules: told by the normalisation behind them and by neighbours."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import timm
import torch
from torch import nn

from distributed.convolutions import find_convolutions
from distributed.formats.base import TensorEntry


def up(inputs: int, outputs: int, bias: bool = False) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1, bias=bias)


def down(inputs: int, outputs: int, bias: bool = False, **more: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias, **more)


class PreActivation(nn.Module):
    """Normalisation, then convolution: what follows a convolution is the next one's."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), down(inputs, inner)
        self.bn2, self.conv2 = nn.BatchNorm2d(inner), down(inner, inputs)


NETWORKS = {
    "pix2pix": nn.Sequential(
        *(nn.Conv2d(3, 16, 7, bias=False), nn.BatchNorm2d(16), nn.ReLU(), down(16, 32), nn.BatchNorm2d(32), nn.ReLU()),
        *(up(32, 16), nn.BatchNorm2d(16), nn.ReLU(), up(16, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 7)),
    ),
    "DCGAN": nn.Sequential(
        *(up(100, 64), nn.BatchNorm2d(64), nn.ReLU(), up(64, 32), nn.BatchNorm2d(32), nn.ReLU(), up(32, 3), nn.Tanh()),
    ),
    "neighbours only": nn.Sequential(down(3, 32), nn.ReLU(), up(32, 16), nn.ReLU(), up(16, 8), nn.ReLU(), down(8, 4)),
    "blocks": nn.ModuleList(
        [nn.Sequential(up(i, i // 2), nn.BatchNorm2d(i // 2), down(i // 2, i // 2)) for i in (32, 16)]
    ),
    "named blocks": nn.Sequential(
        OrderedDict(
            conv_in=down(3, 64),
            up1=nn.Sequential(OrderedDict(up=up(64, 32), bn=nn.BatchNorm2d(32))),
            up2=nn.Sequential(OrderedDict(up=up(32, 16), bn=nn.BatchNorm2d(16))),
            conv_out=down(16, 3),
        )
    ),
    "called deconv, but after an upsampling": nn.Sequential(
        OrderedDict(deconv1=down(32, 16), bn1=nn.BatchNorm2d(16), deconv2=down(16, 8), bn2=nn.BatchNorm2d(8))
    ),
    "encoder and decoder": nn.Sequential(down(3, 8), down(8, 16), down(16, 32), down(32, 16), down(16, 8), down(8, 3)),
    "pre-activation": nn.Sequential(PreActivation(32, 8), PreActivation(32, 8), PreActivation(32, 16)),
    "groups": nn.Sequential(down(32, 64), *(down(64, 64, groups=4) for _ in range(3)), down(64, 16)),
}


@pytest.mark.parametrize("order_known", [True, False], ids=["in order", "sorted"])
@pytest.mark.parametrize("case", NETWORKS)
def test_what_is_transposed_is_found_and_nothing_else(case: str, order_known: bool) -> None:
    network = NETWORKS[case]
    is_transposed = {f"{name}.weight": isinstance(m, nn.ConvTranspose2d) for name, m in network.named_modules()}
    tensors = network.state_dict() if order_known else dict(sorted(network.state_dict().items()))
    entries = [TensorEntry(name, tuple(tensor.shape), "float32") for name, tensor in tensors.items()]
    plan = find_convolutions(entries, None, order_known=order_known, include_transposed=True)
    found = {c.name: bool(c.is_transposed) for c in plan.convolutions}
    expected = {name: is_transposed[name] for name in found}
    # The last one of DCGAN ends the network: nothing behind it tells.
    expected |= {"6.weight": False} if case == "DCGAN" else {}
    # By name alone nobody knows that bn1 follows deconv1.
    expected |= dict.fromkeys(found, True) if "deconv" in case and not order_known else {}
    assert found == expected
    for convolution in plan.convolutions:
        first, second = tensors[convolution.name].shape[:2]
        assert convolution.shape[:2] == ((second, first) if found[convolution.name] else (first, second))


def test_no_convolution_of_an_ordinary_network_is_taken_for_transposed() -> None:
    """Also without the biases that would tell; all architectures: ``benchmarks.bare``."""
    for name in ("densenet121", "inception_v4", "dla60_res2next", "resnest50d_1s4x24d", "ghostnet_050", "dpn68"):
        with torch.device("meta"):
            tensors = timm.create_model(name).state_dict()
        entries = [
            TensorEntry(n, tuple(t.shape), "float32")
            for n, t in tensors.items()
            if not (n.endswith(".bias") and f"{n[:-4]}weight" in tensors and tensors[f"{n[:-4]}weight"].ndim == 4)
        ]
        for order_known in (True, False):
            plan = find_convolutions(entries, None, order_known=order_known, include_transposed=True)
            assert len(plan.convolutions) > 40
            assert not any(convolution.is_transposed for convolution in plan.convolutions), name
