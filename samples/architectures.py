"""The sample architectures, built from their ``config.json`` alone, so that they can be built on the meta device too.

``config["architectures"][0]`` names a class (``ARCHITECTURES``), ``config["model"]`` holds its arguments and
``config["input_shape"]`` the shape of one input without the batch dimension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from samples.blocks import (
    GroupedBlock,
    PlainResidualBlock,
    ResidualBlock,
    conv,
    conv_norm_act,
    separable,
    upsampled,
)
from samples.generative import AutoEncoder, Discriminator, SpatialGenerator, VectorGenerator

#: Networks that correct an image add this share of their output to it, so that they begin near the image itself; a
#: fixed scale on the branch as in EDSR (arXiv 1707.02921), whose inner blocks have it too.
CORRECTION_SCALE = 0.02


class ResidualClassifier(nn.Module):
    """ResNet: a stem, stages of residual blocks (every stage but the first halves the size), global pooling."""

    def __init__(self, in_channels: int, classes: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = conv_norm_act(in_channels, widths[0])
        layers: list[nn.Module] = []
        before = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                layers.append(ResidualBlock(before, width, stride=2 if stage > 0 and block == 0 else 1))
                before = width
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) → logits (n, classes)."""
        return self.head(self.stages(self.stem(x)).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class GroupedClassifier(nn.Module):
    """ResNeXt: a stem, grouped bottlenecks that halve the size where ``strides`` says so, global pooling."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        stem: int,
        widths: Sequence[int],
        outputs: Sequence[int],
        strides: Sequence[int],
        groups: int,
    ) -> None:
        super().__init__()
        self.stem = conv_norm_act(in_channels, stem)
        before = [stem, *outputs[:-1]]
        self.blocks = nn.Sequential(
            *[
                GroupedBlock(source, width, target, groups, stride)
                for source, width, target, stride in zip(before, widths, outputs, strides, strict=True)
            ]
        )
        self.head = nn.Linear(outputs[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) → logits (n, classes)."""
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class SeparableClassifier(nn.Module):
    """MobileNet-like: full 3x3 convolutions first, then depthwise-separable ones, global pooling."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        full: Sequence[int],
        separable_widths: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        super().__init__()
        widths = [in_channels, *full]
        # Full convolutions: the second halves the size, the others keep it.
        self.full = nn.Sequential(
            *[
                conv_norm_act(a, b, stride=2 if i == 1 else 1)
                for i, (a, b) in enumerate(zip(widths, full, strict=False))
            ]
        )
        before = [full[-1], *separable_widths[:-1]]
        self.separable = nn.Sequential(
            *[separable(a, b, stride) for a, b, stride in zip(before, separable_widths, strides, strict=True)]
        )
        self.head = nn.Linear(separable_widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) → logits (n, classes)."""
        return self.head(self.separable(self.full(x)).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """U-Net (Ronneberger et al., arXiv 1505.04597): skips by concatenation, transposed convolutions in the decoder."""

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], up: str = "transposed") -> None:
        super().__init__()
        before = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_act(a, b), conv_norm_act(b, b)) for a, b in zip(before, widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(upsampled(a, b, up) for a, b in pairs)
        self.merge = nn.ModuleList(nn.Sequential(conv_norm_act(2 * b, b), conv_norm_act(b, b)) for _, b in pairs)
        self.head = conv(widths[0], out_channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) → (n, out_channels, h, w); h and w multiples of 2^(levels - 1)."""
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            x = stage(self.pool(x) if level else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.head(x)  # type: ignore[no-any-return]


class DilatedSegmenter(nn.Module):
    """DeepLab-like: a strided stem, residual blocks with growing dilation, bilinear enlargement of the logits."""

    def __init__(self, in_channels: int, classes: int, stem: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm_act(in_channels, stem), conv_norm_act(stem, width, stride=2))
        self.blocks = nn.Sequential(*[ResidualBlock(width, width, dilation=d) for d in dilations])
        self.head = nn.Sequential(conv_norm_act(width, width), conv(width, classes, kernel=1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) → logits (n, classes, h, w); h and w even."""
        logits = self.head(self.blocks(self.stem(x)))
        return nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)


class DepthNet(nn.Module):
    """Residual encoder; decoder of nearest enlargement, 3x3 convolution and added 1x1 laterals."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = conv_norm_act(in_channels, widths[0])
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(conv_norm_act(a, b, stride=2), conv_norm_act(b, b)) for a, b in pairs)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), conv_norm_act(b, a)) for a, b in reversed(pairs)
        )
        self.lateral = nn.ModuleList(conv(a, a, kernel=1) for a, _ in reversed(pairs))
        self.head = conv(widths[0], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) → natural logarithm of depth in metres (n, 1, h, w)."""
        x = self.stem(x)
        levels = [x]
        for stage in self.down:
            levels.append(stage(levels[-1]))
        x = levels[-1]
        for up, lateral, skip in zip(self.up, self.lateral, levels[-2::-1], strict=True):
            x = up(x) + lateral(skip)
        return self.head(x)  # type: ignore[no-any-return]


class ResidualSuperResolution(nn.Module):
    """EDSR-like: residual body at low resolution, pixel shuffle, added to the bicubic enlargement."""

    def __init__(self, channels: int, width: int, blocks: int, scale: int, residual_scale: float = 0.3) -> None:
        super().__init__()
        self.scale = float(scale)
        self.head = conv(channels, width)
        self.body = nn.Sequential(
            *[PlainResidualBlock(width, residual_scale) for _ in range(blocks)], conv(width, width)
        )
        self.enlarge = nn.Sequential(conv(width, width * scale**2), nn.PixelShuffle(scale))
        self.tail = conv(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, channels, scale h, scale w)."""
        shallow = self.head(x)
        large = nn.functional.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return large + CORRECTION_SCALE * self.tail(self.enlarge(shallow + self.body(shallow)))  # type: ignore[no-any-return]


class PlainSuperResolution(nn.Module):
    """ESPCN-like (Shi et al., arXiv 1609.05158): a plain stack, one sub-pixel convolution, the nearest pixel added."""

    def __init__(self, channels: int, width: int, depth: int, scale: int) -> None:
        super().__init__()
        widths = [channels, *[width] * (depth - 1)]
        self.body = nn.Sequential(*[nn.Sequential(conv(a, b), nn.ReLU()) for a, b in pairwise(widths)])
        self.sub_pixel = conv(width, channels * scale**2)
        self.shuffle = nn.PixelShuffle(scale)
        self.copies = scale**2

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, channels, scale h, scale w)."""
        nearest = x.repeat_interleave(self.copies, dim=1)
        return self.shuffle(nearest + CORRECTION_SCALE * self.sub_pixel(self.body(x)))  # type: ignore[no-any-return]


class DenoisingCNN(nn.Module):
    """DnCNN (Zhang et al., arXiv 1608.03981): convolution, batch norm, ReLU; the network's output is the noise."""

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, width),
            nn.ReLU(),
            *[conv_norm_act(width, width) for _ in range(depth - 2)],
            conv(width, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Noisy (n, channels, h, w) → denoised, the same shape."""
        return x - CORRECTION_SCALE * self.layers(x)  # type: ignore[no-any-return]


class SymmetricDenoiser(nn.Module):
    """RED-Net-like (Mao et al., arXiv 1603.09056): as many transposed as ordinary convolutions, skips by addition."""

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [channels, *[width] * depth]
        # The third convolution halves the size, its mirror restores it.
        pairs = list(enumerate(pairwise(widths)))
        self.down = nn.ModuleList(conv_norm_act(a, b, stride=2 if i == 2 else 1) for i, (a, b) in pairs)
        self.up = nn.ModuleList(
            upsampled(b, a, "transposed3") if i == 2 else nn.ConvTranspose2d(b, a, 3, 1, 1) for i, (a, b) in pairs[::-1]
        )
        self.norm = nn.ModuleList(nn.BatchNorm2d(width) for _ in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Noisy (n, channels, h, w) → denoised, the same shape; h and w even."""
        skips: list[Tensor] = []
        for layer in self.down:
            skips.append(x)
            x = layer(x)
        for layer, norm, skip in zip(self.up, self.norm, reversed(skips), strict=True):
            x = skip + CORRECTION_SCALE * layer(torch.relu(norm(x)))
        return x


#: What ``config["architectures"][0]`` may name.
ARCHITECTURES: Mapping[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        ResidualClassifier,
        GroupedClassifier,
        SeparableClassifier,
        UNet,
        DilatedSegmenter,
        DepthNet,
        ResidualSuperResolution,
        PlainSuperResolution,
        DenoisingCNN,
        SymmetricDenoiser,
        AutoEncoder,
        VectorGenerator,
        SpatialGenerator,
        Discriminator,
    )
}


def build(config: Mapping[str, Any]) -> nn.Module:
    """The untrained model that a ``config.json`` describes, in float32, on torch's current default device.

    Under ``torch.device("meta")`` it needs no memory; ``load_state_dict`` of the stored weights is strict.

    Raises:
        ValueError: the architecture is unknown.
        KeyError: ``architectures`` or ``model`` is missing.
    """
    name = config["architectures"][0]
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown sample architecture {name!r}; known are {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[name](**config["model"])


def example_input(config: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """Shapes of the positional inputs of ``forward`` for a batch of one; a generator's is its latent.

    Raises:
        KeyError: ``input_shape`` is missing.
    """
    return ((1, *config["input_shape"]),)
