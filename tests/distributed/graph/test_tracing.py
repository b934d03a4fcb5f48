"""Tracing of real architectures, against depths worked out from their papers and against torch.export."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest
import timm
import torch
from torch import nn

from distributed.errors import FilterShiftError
from distributed.graph.facts import DepthMethod
from distributed.graph.tracing import TraceError, trace


def depths(name: str) -> dict[str, int]:
    facts = trace(f"timm:{name}")
    assert facts.method is DepthMethod.TRACED
    return {weight.removesuffix(".weight"): f.depth for weight, f in facts.convolutions.items()}


def built(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False)


def bottleneck_chain(blocks: list[int], convolutions: list[str], stem: int = 1) -> dict[str, int]:
    """layerS.B.<convolution> in a residual net: each block's convolutions in turn, downsamples beside the first."""
    expected, depth = {}, stem
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            for convolution in convolutions:
                expected[f"layer{stage}.{block}.{convolution}"] = depth
                depth += 1
    return expected


def test_resnet18_by_hand() -> None:
    expected = {"conv1": 0, **bottleneck_chain([2, 2, 2, 2], ["conv1", "conv2"])}
    expected |= {f"layer{stage}.0.downsample.0": expected[f"layer{stage}.0.conv1"] for stage in (2, 3, 4)}
    assert depths("resnet18") == expected
    assert len(expected) == 20
    assert max(expected.values()) == 16


def test_resnet50_by_hand() -> None:
    expected = {"conv1": 0, **bottleneck_chain([3, 4, 6, 3], ["conv1", "conv2", "conv3"])}
    expected |= {f"layer{stage}.0.downsample.0": expected[f"layer{stage}.0.conv1"] for stage in (1, 2, 3, 4)}
    assert depths("resnet50") == expected
    assert max(expected.values()) == 48


def test_resnetblur18_counts_its_blur_kernels_and_lists_none() -> None:
    found = depths("resnetblur18")
    # Fixed blurs behind the stem's pooling and before the strided halves of layers 2, 3 and 4.
    assert found["layer1.0.conv1"] == 2
    assert found["layer2.0.conv2"] - found["layer2.0.conv1"] == 2
    assert len(found) == 20
    assert max(found.values()) == 16 + 4


def test_densenet121_by_hand() -> None:
    expected, depth = {"features.conv0": 0}, 0
    for block, layers in enumerate([6, 12, 24, 16], start=1):
        for layer in range(1, layers + 1):
            expected[f"features.denseblock{block}.denselayer{layer}.conv1"] = depth + 1
            expected[f"features.denseblock{block}.denselayer{layer}.conv2"] = depth + 2
            depth += 2
        if block < 4:
            depth += 1
            expected[f"features.transition{block}.conv"] = depth
    assert depths("densenet121") == expected


def test_efficientnet_b0_counts_squeeze_and_excitation() -> None:
    expected, depth = {"conv_stem": 0}, 1
    names = ["conv_pw", "conv_dw", "se.conv_reduce", "se.conv_expand", "conv_pwl"]
    for stage, repeats in enumerate([1, 2, 2, 3, 3, 4, 1]):
        for block in range(repeats):
            # The first block has no expansion: its pointwise projection is called conv_pw.
            for name in names if stage else ["conv_dw", "se.conv_reduce", "se.conv_expand", "conv_pw"]:
                expected[f"blocks.{stage}.{block}.{name}"] = depth
                depth += 1
    assert depths("efficientnet_b0") == {**expected, "conv_head": depth}
    facts = trace("timm:efficientnet_b0").convolutions
    assert facts["blocks.1.0.conv_dw.weight"].groups == 96
    assert facts["blocks.1.0.conv_pw.weight"].groups == 1


def test_regnety_002_by_hand() -> None:
    expected, depth = {"stem.conv": 0}, 1
    for stage, blocks in enumerate([1, 1, 4, 7], start=1):
        for block in range(1, blocks + 1):
            if block == 1:
                expected[f"s{stage}.b1.downsample.conv"] = depth
            for name in ("conv1.conv", "conv2.conv", "se.fc1", "se.fc2", "conv3.conv"):
                expected[f"s{stage}.b{block}.{name}"] = depth
                depth += 1
    assert depths("regnety_002") == expected


def test_repvgg_a0_has_two_branches_at_every_depth() -> None:
    found = depths("repvgg_a0")
    blocks = ["stem", *(f"stages.{stage}.{block}" for stage, n in enumerate([2, 4, 14, 1]) for block in range(n))]
    assert found == {
        f"{block}.{branch}.conv": depth for depth, block in enumerate(blocks) for branch in ("conv_kxk", "conv_1x1")
    }


@pytest.mark.parametrize("name", ["nf_regnet_b0", "dm_nfnet_f0", "resnetv2_50x1_bit"])
def test_standardised_weights_are_found_under_their_own_names(name: str) -> None:
    names = {weight for weight, _ in convolution_parameters(built(name)).items()}
    facts = trace(f"timm:{name}")
    assert set(facts.convolutions) == names
    assert not any(weight.endswith(".gain") for weight in facts.convolutions)
    assert not facts.aliases


def convolution_parameters(model: nn.Module) -> Mapping[str, nn.Parameter]:
    return {f"{name}.weight": module.weight for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


@pytest.mark.parametrize(
    "name",
    [
        "convnext_atto",
        "mobilenetv3_small_050",
        "hrnet_w18_small",
        "selecsls42b",
        "inception_v3",
        "test_resnet",
        "test_efficientnet",
        "mobileone_s0",
        "vit_tiny_patch16_224",
    ],
)
def test_every_convolution_module_is_listed_with_its_groups(name: str) -> None:
    model = built(name)
    modules = {f"{n}.weight": m.groups for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found = trace(f"timm:{name}").convolutions
    assert {weight: facts.groups for weight, facts in found.items()} == modules
    assert min(facts.depth for facts in found.values()) == 0
    # No gaps: every level below the deepest one holds a convolution.
    assert {facts.depth for facts in found.values()} == set(range(max(f.depth for f in found.values()) + 1))


def test_coat_ties_its_position_encodings_between_blocks() -> None:
    facts = trace("timm:coat_tiny")
    alias = "serial_blocks1.1.cpe.proj.weight"
    assert facts.aliases[alias] == "cpe1.proj.weight"
    assert facts.convolutions[alias] == facts.convolutions["cpe1.proj.weight"]
    assert set(facts.aliases.values()).isdisjoint(facts.aliases)


def test_lowformer_marks_its_transposed_convolutions() -> None:
    model = built(timm.list_models("lowformer*")[0])
    transposed = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.ConvTranspose2d)}
    found = trace(f"timm:{timm.list_models('lowformer*')[0]}").convolutions
    assert transposed
    assert {weight for weight, facts in found.items() if facts.transposed} == transposed


def test_operator_counts_are_those_of_the_architecture() -> None:
    counts = trace("timm:resnet18").op_counts
    assert counts["convolution"] == 20
    assert counts["relu_"] == 17
    assert counts["max_pool2d_with_indices"] == 1


def test_a_pretrained_tag_may_follow_the_architecture() -> None:
    assert trace("timm:resnet18.a1_in1k").convolutions == trace("timm:resnet18").convolutions


def test_facts_are_kept() -> None:
    assert trace("timm:test_resnet") is trace("timm:test_resnet")


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("timm:no_such_net", "knows no architecture 'no_such_net'"),
        ("timm:resnt18", "knows no architecture 'resnt18'; did you mean 'resnet18'?"),
        ("timm:hf-hub:someone/something", "knows no architecture"),
        ("timm:local-dir:/tmp", "knows no architecture"),
        ("timm:", "expected timm:<architecture>"),
        ("keras:resnet50", "expected timm:<architecture>"),
        ("resnet50", "expected timm:<architecture>"),
        ("samples:{", "cannot be traced: JSONDecodeError"),
        ("samples:[1]", "not a JSON object"),
        ('samples:{"architecture": "no_such_net", "input_shape": [1, 8, 8]}', "cannot be traced"),
    ],
)
def test_what_cannot_be_built_says_so_in_one_line(builder: str, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        trace(builder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, FilterShiftError)


def test_a_sample_architecture_is_traced_from_its_config() -> None:
    model = {"in_channels": 1, "classes": 10, "widths": [4, 8], "blocks": [1, 1]}
    config = {"architectures": ["ResidualClassifier"], "model": model, "input_shape": [1, 8, 8]}
    facts = trace("samples:" + json.dumps(config))
    by_depth = sorted(facts.convolutions, key=lambda weight: facts.convolutions[weight].depth)
    # The stem, two blocks of two convolutions, and a projection beside the second block's first one.
    assert by_depth[0].startswith("stem.")
    assert sorted(f.depth for f in facts.convolutions.values()) == [0, 1, 2, 3, 3, 4]


def test_tracing_needs_no_network_and_no_weights() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('tracing opened a connection')\n"
        "socket.socket.connect = refuse\n"
        "from distributed.graph.tracing import trace\n"
        "print(len(trace('timm:resnet18').convolutions))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, "20"), said.stderr


def exported_depths(name: str) -> dict[str, int]:
    """Depths from torch.export's functional graph: a second way that shares nothing with the recorder."""
    model = timm.create_model(name, pretrained=False).eval()
    image = torch.zeros(1, *model.pretrained_cfg["input_size"])
    program = torch.export.export(model, (image,)).run_decompositions({})
    parameters = program.graph_signature.inputs_to_parameters
    longest: dict[torch.fx.Node, int] = {}
    found: dict[str, int] = {}
    for node in program.graph.nodes:
        below = max((longest[source] for source in node.all_input_nodes), default=0)
        longest[node] = below
        if node.op != "call_function" or "conv" not in str(node.target):
            continue
        weight = node.args[1]
        if weight.meta["val"].dim() == 4:
            longest[node] = below + 1
            while weight.op == "call_function":
                weight = next(n for n in weight.all_input_nodes if n.op == "call_function" or n.name in parameters)
            if weight.name in parameters:
                found.setdefault(parameters[weight.name], below)
    return found


@pytest.mark.parametrize("name", ["test_resnet", "convnext_atto"])
def test_torch_export_agrees(name: str) -> None:
    assert {weight: f.depth for weight, f in trace(f"timm:{name}").convolutions.items()} == exported_depths(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["hrnet_w18_small", "mobilenetv3_small_050", "resnetblur18", "densenet121", "inception_v3", "nf_regnet_b0"]
)
def test_torch_export_agrees_on_larger_models(name: str) -> None:
    assert {weight: f.depth for weight, f in trace(f"timm:{name}").convolutions.items()} == exported_depths(name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_timm_architectures_are_traced() -> None:
    """Each one, and each of its executed Conv2d modules is found (about ten minutes on one core)."""
    problems: dict[str, str] = {}
    for name in timm.list_models():
        try:
            facts = trace(f"timm:{name}")
        except TraceError as error:
            problems[name] = str(error)
            continue
        # What 4-D tensors remain are gains, position tables and buffers, never a kernel above 1x1 of a module.
        left = set(convolution_parameters(built(name))) - facts.convolutions.keys()
        if left:
            problems[name] = f"not reached: {sorted(left)[:3]}"
    assert json.dumps(problems) == "{}"
