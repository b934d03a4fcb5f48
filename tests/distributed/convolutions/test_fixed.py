"""Fixed kernels are told by their values, whatever they are called; learned ones stay, whatever they are called."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from distributed.convolutions import find_convolutions, without_fixed
from distributed.formats import TensorEntry
from tests.tensors import is_fixed


def kernel(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def outer(*taps: float) -> Tensor:
    return torch.outer(torch.tensor(taps), torch.tensor(taps))


def gaussian(size: int, sigma: float) -> Tensor:
    taps = torch.exp(-((torch.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    return torch.outer(taps, taps) / taps.sum() ** 2


def everywhere(one: Tensor, out: int, inner: int = 1) -> Tensor:
    return one.expand(out, inner, *one.shape)


def on_the_diagonal(one: Tensor, channels: int) -> Tensor:
    weight = torch.zeros(channels, channels, *one.shape)
    weight[torch.arange(channels), torch.arange(channels)] = one
    return weight


def rotations(one: Tensor) -> Tensor:
    return torch.stack([torch.rot90(one, turn) for turn in range(4)])[:, None]


BINOMIAL = outer(1, 2, 1) / 16
SOBEL = kernel((1, 0, -1), (2, 0, -2), (1, 0, -1))
SCHARR = kernel((3, 10, 3), (0, 0, 0), (-3, -10, -3))
PREWITT = kernel((1, 0, -1), (1, 0, -1), (1, 0, -1))
DIAGONAL_SOBEL = kernel((0, 1, 2), (-1, 0, 1), (-2, -1, 0))
KIRSCH = kernel((5, 5, 5), (-3, 0, -3), (-3, -3, -3))
LAPLACE = kernel((0, 1, 0), (1, -4, 1), (0, 1, 0))
LAPLACE_8 = kernel((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))
SRM = kernel((-1, 2, -1), (2, -4, 2), (-1, 2, -1)) / 4
DCT = torch.cos(torch.pi * (torch.arange(3) + 0.5)[None] * torch.arange(3)[:, None] / 3)

FIXED = {
    "binomial": everywhere(BINOMIAL, 8),
    "binomial of 4": everywhere(outer(1, 3, 3, 1) / 64, 8),
    "gaussian": everywhere(gaussian(5, 1.3), 3),
    "gaussian of one image": everywhere(gaussian(3, 0.8), 1),
    "box": torch.full((4, 1, 3, 3), 1 / 9),
    "box in a dense weight": on_the_diagonal(torch.full((3, 3), 1 / 9), 8),
    "binomial in a dense weight": on_the_diagonal(BINOMIAL, 8),
    "sobel": torch.stack([SOBEL, SOBEL.T])[:, None],
    "sobel of colours": torch.stack([everywhere(SOBEL, 3)[:, 0], everywhere(SOBEL.T, 3)[:, 0]]),
    "sobel, scaled": rotations(SOBEL / 8),
    "scharr": everywhere(SCHARR, 2),
    "prewitt": rotations(PREWITT),
    "diagonal sobel": rotations(DIAGONAL_SOBEL),
    "kirsch": rotations(KIRSCH),
    "laplace": everywhere(LAPLACE, 8),
    "laplace of 8": everywhere(LAPLACE_8, 1),
    "laplace of a gaussian": everywhere(gaussian(5, 1.0) - gaussian(5, 1.0).mean(), 2),
    "srm": everywhere(SRM, 3, 3),
    "bank": torch.stack([SOBEL, SOBEL.T, LAPLACE, BINOMIAL])[:, None],
    "shifts": torch.eye(9).reshape(9, 1, 3, 3),
    "identity": on_the_diagonal(kernel((0, 0, 0), (0, 1, 0), (0, 0, 0)), 4),
    "dct": torch.stack([torch.outer(DCT[i], DCT[j]) for i in range(3) for j in range(3)])[:, None],
}


@pytest.mark.parametrize("case", FIXED)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_nobody_learned_is_told_by_its_values(case: str, dtype: str) -> None:
    stored = FIXED[case].to(getattr(torch, dtype)).float()
    if case == "laplace of a gaussian" and dtype != "float32":
        pytest.skip("its mean is gone with the rounding")
    assert is_fixed(stored, dtype)
    assert is_fixed(stored, dtype, is_named=True)


def trained(module: nn.Conv2d) -> Tensor:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(4, module.in_channels, 8, 8)).square().mean().backward()
        optimizer.step()
    return module.weight.detach()


def from_blur() -> Tensor:
    module = nn.Conv2d(8, 8, 3, groups=8)
    module.weight.data.copy_(everywhere(BINOMIAL, 8))
    return trained(module)


torch.manual_seed(0)
LEARNED = {
    "dense": torch.randn(8, 3, 3, 3),
    "depthwise": torch.randn(8, 1, 3, 3),
    "one": torch.randn(1, 1, 3, 3),
    "zero": torch.zeros(4, 1, 3, 3),
    "1x1": torch.ones(4, 1, 1, 1),
    "a blur that was trained on": from_blur(),
    "constants of a dense layer, its first state": torch.full((8, 8, 3, 3), 0.1),
    "pruned to the middle": torch.randn(8, 8, 1, 1) * kernel((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "ternary": torch.randint(-1, 2, (16, 16, 3, 3)) * 0.3,
    "binary": torch.randn(16, 3, 3, 3).sign() * 0.02,
    "int8 steps": torch.randint(-127, 128, (8, 8, 3, 3)) / 127,
    "one learned among blurs": torch.cat([everywhere(BINOMIAL, 7), torch.randn(1, 1, 3, 3)]),
    "not finite": torch.full((2, 1, 3, 3), float("nan")),
    "infinite": torch.full((2, 1, 3, 3), float("inf")),
}


@pytest.mark.parametrize("case", LEARNED)
def test_what_may_be_learned_stays(case: str) -> None:
    assert not is_fixed(LEARNED[case])


@pytest.mark.parametrize(
    "case", ["dense", "depthwise", "one", "zero", "1x1", "a blur that was trained on", "int8 steps"]
)
def test_a_name_alone_proves_nothing(case: str) -> None:
    assert not is_fixed(LEARNED[case], is_named=True)


def test_beside_a_name_weaker_structure_is_enough() -> None:
    separable = torch.outer(torch.randn(5), torch.randn(5))
    even = torch.randn(5, 5)
    even = even + even.flip(0, 1)
    for one in (separable, even, kernel((1, 2, 3), (4, 5, 6), (7, 8, 9)), torch.randn(3, 3).expand(2, 3, 3)[0]):
        weight = everywhere(one, 4)
        assert not is_fixed(weight)
        assert is_fixed(weight, is_named=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_random_kernels_are_never_taken_for_fixed(dtype: str) -> None:
    torch.manual_seed(7)
    weights = torch.randn(2000, 1, 1, 3, 3).to(getattr(torch, dtype)).float()
    assert not any(is_fixed(weight, dtype) or is_fixed(weight, dtype, is_named=True) for weight in weights)


def test_only_small_weights_that_are_named_so_are_read_ahead() -> None:
    state: Mapping[str, Tensor] = {
        "stem.weight": torch.randn(8, 3, 3, 3),
        "gaussian.weight": torch.randn(8, 8, 3, 3),
        "dct.weight": torch.randn(8, 8, 3, 3),
        "pool.filt": everywhere(outer(1, 3, 3, 1), 8),
        "edge.kernel": torch.stack([SOBEL, SOBEL.T])[:, None],
        "sobel.weight": torch.randn(1024, 256, 3, 3),
        "blocks.0.kernel": torch.randn(64, 64, 3, 3),
        "unnamed.weight": everywhere(BINOMIAL, 8),
    }
    asked: list[str] = []

    def read(names: list[str]) -> list[tuple[str, Tensor]]:
        asked.extend(names)
        return iter([(name, state[name]) for name in names])  # type: ignore[return-value]

    entries = [TensorEntry(name, tuple(t.shape), "float32") for name, t in state.items()]
    plan = without_fixed(find_convolutions(entries, None, order_known=True), read)  # type: ignore[arg-type]
    assert asked == ["gaussian.weight", "dct.weight", "pool.filt", "edge.kernel"]
    assert [c.name for c in plan.convolutions] == [name for name in state if name not in ("pool.filt", "edge.kernel")]
    assert plan.notes == (
        "took blocks.0.kernel for convolution weights by their shape; their names do not say so",
        "left out pool.filt, edge.kernel: named like a fixed kernel, and by its values one, not learned",
    )
    assert plan.num_parameters == sum(t.numel() for n, t in state.items() if n not in ("pool.filt", "edge.kernel"))
