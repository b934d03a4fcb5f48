"""Sample architectures that make or judge images: auto-encoder, GAN generators, GAN discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from samples.blocks import conv, conv_norm_act, upsampled


class AutoEncoder(nn.Module):
    """Convolutional auto-encoder: every level halves the size; the code has ``code`` channels at the smallest size."""

    def __init__(self, channels: int, widths: Sequence[int], code: int, up: str) -> None:
        super().__init__()
        before = [channels, *widths[:-1]]
        encoder = [
            nn.Sequential(conv_norm_act(a, b), conv_norm_act(b, b, stride=2))
            for a, b in zip(before, widths, strict=True)
        ]
        self.encoder = nn.Sequential(*encoder, conv(widths[-1], code))
        after = [*widths[-2::-1], widths[0]]
        decoder = [
            nn.Sequential(upsampled(a, b, up), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in zip(widths[::-1], after, strict=True)
        ]
        self.decoder = nn.Sequential(conv_norm_act(code, widths[-1]), *decoder, conv(widths[0], channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → its reconstruction, the same shape."""
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class VectorGenerator(nn.Module):
    """GAN generator from a latent vector: linear to 4x4, then enlargements with two 3x3 convolutions each."""

    def __init__(self, latent: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.base = widths[0]
        self.project = nn.Linear(latent, widths[0] * 16)
        stages: list[nn.Module] = [conv_norm_act(widths[0], widths[0])]
        for a, b in pairwise(widths):
            stages += [nn.Upsample(scale_factor=2), conv_norm_act(a, b), conv_norm_act(b, b)]
        self.stages = nn.Sequential(*stages, conv(widths[-1], channels))

    def forward(self, z: Tensor) -> Tensor:
        """(n, latent) → images (n, channels, 4·2^k, 4·2^k) in 0 … 1."""
        x = torch.relu(self.project(z)).reshape(-1, self.base, 4, 4)
        return torch.sigmoid(self.stages(x))


class SpatialGenerator(nn.Module):
    """GAN generator from a latent map: transposed 4x4 convolutions (DCGAN, arXiv 1511.06434), each refined by a 3x3."""

    def __init__(self, latent: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [conv_norm_act(latent, widths[0])]
        for a, b in pairwise(widths):
            stages += [upsampled(a, b, "transposed"), nn.BatchNorm2d(b), nn.ReLU(), conv_norm_act(b, b)]
        self.stages = nn.Sequential(*stages, conv(widths[-1], channels))

    def forward(self, z: Tensor) -> Tensor:
        """(n, latent, h, w) → images (n, channels, 2^k h, 2^k w) in 0 … 1."""
        return torch.sigmoid(self.stages(z))


class Discriminator(nn.Module):
    """GAN discriminator: pairs of 3x3 convolutions, the second strided, leaky ReLU, no norm, one logit."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        before = [channels, *widths[:-1]]
        self.stages = nn.Sequential(
            *[
                nn.Sequential(conv(a, b), nn.LeakyReLU(0.2), conv(b, b, stride=2), nn.LeakyReLU(0.2))
                for a, b in zip(before, widths, strict=True)
            ]
        )
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) → logits (n,), large for real ones."""
        return self.head(self.stages(x).mean(dim=(2, 3)))[:, 0]  # type: ignore[no-any-return]
