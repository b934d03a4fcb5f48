"""Building blocks of the sample architectures."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias that keeps the size (or divides it by ``stride``)."""
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)


def conv_norm_act(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias (the norm has its own), batch norm, ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around an identity, 1x1 where shapes differ (arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation=dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) → (n, outputs, h / stride, w / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class GroupedBlock(nn.Module):
    """ResNeXt bottleneck: 1x1, grouped 3x3, 1x1 (Xie et al., arXiv 1611.05431); no 1x1 on the shortcut: it is pooled
    and its missing channels are zero."""

    def __init__(self, inputs: int, width: int, outputs: int, groups: int, stride: int = 1) -> None:
        super().__init__()
        self.reduce = conv_norm_act(inputs, width, kernel=1)
        self.grouped = conv_norm_act(width, width, stride=stride, groups=groups)
        self.expand = nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.missing = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) → (n, outputs, h / stride, w / stride)."""
        shortcut = nn.functional.pad(self.pool(x), (0, 0, 0, 0, 0, self.missing))
        return torch.relu(self.expand(self.grouped(self.reduce(x))) + shortcut)


class PlainResidualBlock(nn.Module):
    """EDSR's block: two 3x3 convolutions, no norm, the branch scaled down (Lim et al., arXiv 1707.02921)."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → the same shape."""
        return x + self.scale * self.conv2(torch.relu(self.conv1(x)))  # type: ignore[no-any-return]


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then pointwise 1x1 (Howard et al., arXiv 1704.04861)."""
    return nn.Sequential(
        conv_norm_act(inputs, inputs, stride=stride, groups=inputs), conv_norm_act(inputs, outputs, kernel=1)
    )


def upsampled(inputs: int, outputs: int, how: str) -> nn.Module:
    """Twice the size: ``transposed`` (4x4, stride 2), ``transposed3`` (3x3, stride 2) or ``nearest`` + 3x3 convolution.

    Raises:
        ValueError: ``how`` is none of these.
    """
    if how == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    if how == "transposed3":
        return nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
    if how == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), conv(inputs, outputs))
    raise ValueError(f"unknown upsampling {how!r}; known are transposed, transposed3, nearest")
