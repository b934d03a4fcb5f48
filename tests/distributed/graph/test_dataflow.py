"""Depth, names and groups on modules small enough to work out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, weight_norm

from distributed.graph.facts import ConvolutionFacts, GraphFacts
from distributed.graph.tracing import trace_module


def conv(inputs: int = 4, outputs: int = 4, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


def traced(model: nn.Module, shape: tuple[int, ...] = (1, 4, 8, 8)) -> GraphFacts:
    return trace_module(model.to("meta"), [torch.empty(shape, device="meta")])


def depths(model: nn.Module, shape: tuple[int, ...] = (1, 4, 8, 8)) -> dict[str, int]:
    return {name: facts.depth for name, facts in traced(model, shape).convolutions.items()}


class Module(nn.Module):
    """Named layers and a forward pass given as a function of (module, input)."""

    def __init__(self, forward, **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def test_parallel_branches_share_depths_and_the_longest_counts() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        short, long = m.short(x), m.long2(m.long1(x))
        return m.after(torch.cat([short, long], dim=1))

    model = Module(forward, short=conv(), long1=conv(), long2=conv(), after=conv(8))
    assert depths(model) == {"short.weight": 0, "long1.weight": 0, "long2.weight": 1, "after.weight": 2}


def test_in_place_addition_and_activation_carry_depth() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        y = m.first(x)
        functional.relu_(y)
        z = m.shortcut(x)
        z += m.second(y)
        return m.after(z)

    model = Module(forward, first=conv(), shortcut=conv(), second=conv(), after=conv())
    assert depths(model) == {"first.weight": 0, "shortcut.weight": 0, "second.weight": 1, "after.weight": 2}


def test_writing_into_a_view_of_a_buffer_made_in_the_forward_pass() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(1, 8, 8, 8, device=x.device)
        y[:, :4] = m.first(x)
        y[:, 4:].copy_(x)
        return m.after(y)

    assert depths(Module(forward, first=conv(), after=conv(8))) == {"first.weight": 0, "after.weight": 1}


def test_foreach_operators_write_without_returning() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(1, 4, 8, 8, device=x.device)
        torch._foreach_add_([y], [m.first(x)])
        return m.after(y)

    assert depths(Module(forward, first=conv(), after=conv())) == {"first.weight": 0, "after.weight": 1}


def test_outputs_in_lists_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.both = conv(), conv(), conv()

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            left, right = self.left(a), self.right(self.left(b))
            top, bottom = torch.stack([left, right]).unbind()
            return self.both(torch.split(top + bottom, 4, dim=1)[0])

    x = torch.empty(1, 4, 8, 8, device="meta")
    facts = trace_module(Two().to("meta"), [x, x.clone()])
    assert {name: f.depth for name, f in facts.convolutions.items()} == {
        "left.weight": 0,
        "right.weight": 1,
        "both.weight": 2,
    }


def test_a_weight_used_twice_has_its_smallest_depth_and_counts_each_time() -> None:
    model = Module(lambda m, x: m.after(m.shared(m.shared(x))), shared=conv(), after=conv())
    assert depths(model) == {"shared.weight": 0, "after.weight": 2}


def test_tied_copies_are_listed_under_both_names() -> None:
    # Made on the meta device: moving a module there would give each name a tensor of its own.
    with torch.device("meta"):
        first, second = conv(), conv()
    second.weight = first.weight
    facts = traced(nn.Sequential(first, nn.ReLU(), second))
    assert {name: f.depth for name, f in facts.convolutions.items()} == {"0.weight": 0, "2.weight": 0}
    assert facts.aliases == {"2.weight": "0.weight"}


def test_reparametrised_weights_are_found_under_the_materialised_name() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = weight_norm(conv())
    new = parametrizations.weight_norm(conv())
    spectral = parametrizations.spectral_norm(conv())
    facts = traced(nn.Sequential(old, new, spectral))
    assert {name: f.depth for name, f in facts.convolutions.items()} == {
        "0.weight": 0,
        "0.weight_v": 0,
        "1.weight": 1,
        "1.parametrizations.weight.original1": 1,
        "2.weight": 2,
        "2.parametrizations.weight.original": 2,
    }
    assert facts.aliases["1.parametrizations.weight.original1"] == "1.weight"


def test_standardised_masked_cast_and_cut_weights_keep_their_name() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        flat = m.standard.reshape(1, 4, -1)
        weight = functional.batch_norm(flat, None, None, weight=m.gain.view(-1), training=True).reshape_as(m.standard)
        x = functional.conv2d(x, weight, padding=1)
        x = functional.conv2d(x, m.masked * m.mask, padding=1)
        x = functional.conv2d(x.half(), m.cast.half(), padding=1).float()
        return functional.conv2d(x, m.supernet[:2, :, 1:4, 1:4], padding=1)

    kernel = torch.randn(4, 4, 3, 3)
    model = Module(
        forward,
        standard=nn.Parameter(kernel.clone()),
        gain=nn.Parameter(torch.ones(4, 1, 1, 1)),
        masked=nn.Parameter(kernel.clone()),
        cast=nn.Parameter(kernel.clone()),
        supernet=nn.Parameter(torch.randn(4, 4, 5, 5)),
    )
    model.register_buffer("mask", torch.ones(4, 4, 3, 3))
    facts = traced(model)
    assert {name: f.depth for name, f in facts.convolutions.items()} == {
        "standard": 0,
        "masked": 1,
        "cast": 2,
        "supernet": 3,
    }


def test_a_weight_modulated_by_data_is_listed_and_a_mixture_of_experts_is_not() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        y = m.first(x)
        style = y.mean(dim=(2, 3)).view(1, 4, 1, 1)
        y = functional.conv2d(y, m.modulated * style, padding=1)
        routing = y.mean(dim=(2, 3)).sigmoid()
        mixed = (routing @ m.experts).view(4, 4, 3, 3)
        return m.after(functional.conv2d(y, mixed, padding=1))

    model = Module(
        forward,
        first=conv(),
        modulated=nn.Parameter(torch.randn(4, 4, 3, 3)),
        experts=nn.Parameter(torch.randn(4, 4 * 4 * 9)),
        after=conv(),
    )
    assert depths(model) == {"first.weight": 0, "modulated": 1, "after.weight": 3}


def test_a_position_table_of_a_kernels_size_is_no_kernel() -> None:
    # The table flows into data, and data of its very size is used as a kernel of the next step (correlation).
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        features = m.first(x + m.table)
        return functional.conv2d(x, features.view(4, 4, 4, 4))

    model = Module(forward, first=conv(), table=nn.Parameter(torch.randn(1, 4, 8, 8)))
    facts = traced(model)
    assert list(facts.convolutions) == ["first.weight"]


def test_a_blur_kernel_is_a_buffer_and_is_counted_but_not_listed() -> None:
    model = Module(lambda m, x: m.after(functional.conv2d(m.first(x), m.blur, groups=4)), first=conv(), after=conv())
    model.register_buffer("blur", torch.ones(4, 1, 3, 3))
    facts = traced(model)
    assert {name: f.depth for name, f in facts.convolutions.items()} == {"first.weight": 0, "after.weight": 2}


def test_groups_and_transposed_convolutions() -> None:
    model = nn.Sequential(
        conv(groups=2), conv(groups=4), nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.Conv2d(6, 1, 1)
    )
    assert traced(model).convolutions == {
        "0.weight": ConvolutionFacts(0, 2),
        "1.weight": ConvolutionFacts(1, 4),
        "2.weight": ConvolutionFacts(2, 2, transposed=True),
        "3.weight": ConvolutionFacts(3, 1),
    }


def test_one_and_three_dimensional_convolutions_are_not_counted_but_pass_depth_on() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        y = m.one(m.first(x).flatten(2)).view(1, 4, 8, 8)
        return m.after(m.three(y.unsqueeze(2)).squeeze(2))

    model = Module(
        forward, first=conv(), one=nn.Conv1d(4, 4, 3, padding=1), three=nn.Conv3d(4, 4, 3, padding=1), after=conv()
    )
    facts = traced(model)
    assert {name: f.depth for name, f in facts.convolutions.items()} == {"first.weight": 0, "after.weight": 1}
    assert facts.op_counts["convolution"] == 4


def test_a_head_that_does_not_run_is_not_listed() -> None:
    def forward(m: Module, x: torch.Tensor) -> torch.Tensor:
        return m.auxiliary(m.first(x)) if m.training else m.first(x)

    model = Module(forward, first=conv(), auxiliary=conv()).train()
    facts = traced(model)
    assert list(facts.convolutions) == ["first.weight"]
    assert model.training
    assert model.first.training


def test_the_model_may_be_on_the_cpu_and_its_weights_stay_untouched() -> None:
    model = nn.Sequential(conv(), nn.BatchNorm2d(4), conv())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    facts = trace_module(model, [torch.randn(2, 4, 8, 8)])
    assert {name: f.depth for name, f in facts.convolutions.items()} == {"0.weight": 0, "2.weight": 1}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
