"""The levels rule on graphs small enough to work out by hand, and on hostile ones."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from distributed.errors import SkipReason, UnextractableError
from distributed.graph import onnx_flow
from distributed.graph.facts import ConvolutionFacts, DepthMethod, GraphFacts
from distributed.graph.onnx_levels import understand

IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 8, 8])


def weight(name: str, *shape: int, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape or (4, 4, 3, 3), dtype), name)


def graph_of(nodes, weights=(), inputs=(IMAGE,), outputs=()) -> onnx.GraphProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_graph(list(nodes), "g", list(inputs), infos, list(weights))


def model_of(nodes, weights=(), **options) -> onnx.ModelProto:
    return helper.make_model(graph_of(nodes, weights, **options))


def facts_of(model: onnx.ModelProto) -> GraphFacts:
    return understand(model, "net.onnx").facts


def depths(model: onnx.ModelProto) -> dict[str, int]:
    return {name: facts.depth for name, facts in facts_of(model).convolutions.items()}


def node(op: str, inputs: str, output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(op, [i.strip() for i in inputs.split(",")], [output], **attributes)


def test_a_chain_counts_convolutions_and_no_other_node() -> None:
    nodes = [
        node("Conv", "image, a", "1"),
        node("Relu", "1", "2"),
        node("Conv", "2, b", "3"),
        node("Conv", "3, c", "4"),
    ]
    model = model_of(nodes, [weight("a"), weight("b", 4, 4, 1, 1), weight("c")])
    facts = facts_of(model)
    assert facts.method is DepthMethod.ONNX
    assert {name: f.depth for name, f in facts.convolutions.items()} == {"a": 0, "b": 1, "c": 2}
    assert facts.op_counts == {"Conv": 3, "Relu": 1}


def test_the_rank_is_taken_over_the_levels_of_all_nodes() -> None:
    # Two branches: levels 0, 1 (a, b) against 0, 2 (c, Relu, d). The rule ranks b before d although both follow one
    # convolution: levels 0, 1, 2 are three.
    nodes = [
        node("Conv", "image, a", "1"),
        node("Conv", "1, b", "2"),
        node("Conv", "image, c", "3"),
        node("Relu", "3", "4"),
        node("Conv", "4, d", "5"),
        node("Add", "2, 5", "6"),
        node("Conv", "6, e", "7"),
    ]
    assert depths(model_of(nodes, map(weight, "abcde"))) == {"a": 0, "b": 1, "c": 0, "d": 2, "e": 3}


def levels_by_definition(nodes: list[onnx.NodeProto], weights: set[str]) -> dict[str, int]:
    """The rule written out: enumerate every path from the input (recursion, no sharing with the code under test)."""
    producer = {name: n for n in nodes for name in n.output}

    def level(n: onnx.NodeProto) -> int:
        return 1 + max((level(producer[i]) for i in n.input if i in producer), default=-1)

    convolutions = {n.input[1]: level(n) for n in nodes if n.op_type == "Conv" and n.input[1] in weights}
    ranks = sorted(set(convolutions.values()))
    return {name: ranks.index(value) for name, value in convolutions.items()}


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_agree_with_the_definition_in_any_node_order(seed: int) -> None:
    rng = random.Random(seed)
    values, nodes, weights = ["image"], [], []
    for index in range(24):
        kind = rng.choice(["Conv", "Relu", "Add", "Conv1d"])
        sources = rng.sample(values, min(len(values), 2 if kind == "Add" else 1))
        if kind.startswith("Conv"):
            weights.append(weight(f"w{index}", *((4, 4, 3) if kind == "Conv1d" else (4, 4, 3, 3))))
            sources = [sources[0], f"w{index}"]
        nodes.append(helper.make_node(kind.removesuffix("1d"), sources, [f"v{index}"]))
        values.append(f"v{index}")
    expected = levels_by_definition(nodes, {w.name for w in weights if len(w.dims) == 4})
    rng.shuffle(nodes)
    assert depths(model_of(nodes, weights)) == expected


def test_weights_made_by_constant_nodes_add_no_level() -> None:
    nodes = [
        helper.make_node("Constant", [], ["k"], value=weight("")),
        node("Cast", "half", "full", to=TensorProto.FLOAT),
        node("Identity", "full", "same"),
        node("Conv", "image, k", "1"),
        node("Conv", "image, same", "2"),
        node("Conv", "image, plain", "3"),
    ]
    model = model_of(nodes, [weight("half", dtype=np.float16), weight("plain")])
    assert depths(model) == {"k": 0, "half": 0, "plain": 0}


def test_a_shared_weight_has_its_smallest_depth() -> None:
    nodes = [node("Conv", "image, a", "1"), node("Conv", "1, a", "2"), node("Conv", "2, b", "3")]
    assert depths(model_of(nodes, [weight("a"), weight("b")])) == {"a": 0, "b": 2}


def test_groups_transposed_and_other_ranks() -> None:
    nodes = [
        node("Conv", "image, grouped", "1", group=2),
        node("Conv", "1, one", "2"),
        node("Conv", "2, three", "3"),
        node("ConvTranspose", "3, up", "4", group=4),
    ]
    weights = [weight("grouped", 4, 2, 3, 3), weight("one", 4, 4, 3), weight("three", 4, 4, 3, 3, 3), weight("up")]
    assert facts_of(model_of(nodes, weights)).convolutions == {
        "grouped": ConvolutionFacts(0, 2),
        "up": ConvolutionFacts(1, 4, transposed=True),
    }


def test_what_is_no_stored_float_weight_counts_in_depth_and_is_noted() -> None:
    nodes = [
        node("Conv", "image, a", "1"),
        node("QLinearConv", "1, s, z, q, s, z, s, z", "2"),
        node("DequantizeLinear", "q, s, z", "dq"),
        node("Conv", "2, dq", "3", kernel_shape=[3, 3]),
        node("Exp", "t", "tt"),
        node("Conv", "3, tt", "4", kernel_shape=[3, 3]),
        node("Conv", "4, 4", "5", kernel_shape=[3, 3]),
        node("Conv", "5, given", "6", kernel_shape=[3, 3]),
        node("Cast", "q", "qf", to=TensorProto.FLOAT),
        node("Conv", "6, qf", "7"),
        node("Conv", "7, b", "8"),
    ]
    weights = [weight("a"), weight("b"), weight("t"), weight("q", dtype=np.int8), weight("s", 1), weight("z", 1)]
    given = helper.make_tensor_value_info("given", TensorProto.FLOAT, [4, 4, 3, 3])
    graph = understand(model_of(nodes, weights, inputs=[IMAGE, given]), "m.onnx")
    # The quantised weight is one, dequantised in two places; without a scale it is none.
    assert {name: f.depth for name, f in graph.facts.convolutions.items()} == {"a": 0, "q": 1, "b": 7}
    assert sorted(graph.notes) == [
        "left out 1 2-D convolution(s) whose weight is an input of the model",
        "left out 1 2-D convolution(s) whose weight is computed in the graph (Conv)",
        "left out 1 2-D convolution(s) whose weight is computed in the graph (Exp)",
        "left out 1 2-D convolution(s) with a weight stored as INT8",
    ]


def test_generators_may_start_from_noise_or_a_learned_constant() -> None:
    noise = helper.make_node("RandomNormal", [], ["noise"], shape=[1, 4, 8, 8])
    nodes = [noise, node("Conv", "noise, a", "1"), node("Conv", "1, b", "2"), node("Conv", "start, c", "3")]
    nodes += [node("Conv", "3, d", "4")]
    model = model_of(nodes, [*map(weight, "abcd"), weight("start", 1, 4, 8, 8)], inputs=[])
    assert depths(model) == {"c": 0, "a": 1, "b": 2, "d": 1}


def branch(name: str, *nodes: onnx.NodeProto, weights=(), output: str) -> onnx.GraphProto:
    info = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [info], list(weights))


def test_both_branches_of_an_if_are_looked_into() -> None:
    then = branch("then", node("Conv", "1, inner", "t"), weights=[weight("inner")], output="t")
    other = branch("else", node("Relu", "1", "r"), node("Conv", "r, inner", "t"), weights=[weight("inner")], output="t")
    nodes = [
        node("Conv", "image, a", "1"),
        helper.make_node("If", ["flag"], ["2"], name="choice", then_branch=then, else_branch=other),
        node("Conv", "2, b", "3"),
    ]
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    facts = facts_of(model_of(nodes, [weight("a"), weight("b")], inputs=[IMAGE, flag]))
    found = {name: f.depth for name, f in facts.convolutions.items()}
    # Two bodies, two tensors of one name; the one that comes second in the file is called after its body.
    assert found == {"a": 0, "inner": 2, "choice.then_branch/inner": 1, "b": 3}
    assert facts.op_counts == {"Conv": 4, "If": 1, "Relu": 1}


def test_the_body_of_a_loop_hangs_on_what_is_carried_in() -> None:
    items = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("on", "next")]
    body = helper.make_graph([node("Conv", "state, w", "next")], "body", items, outputs, [weight("w")])
    nodes = [
        node("Conv", "image, a", "1"),
        helper.make_node("Loop", ["", "", "1"], ["2"], body=body),
        node("Conv", "2, b", "3"),
    ]
    assert depths(model_of(nodes, [weight("a"), weight("b")])) == {"a": 0, "w": 1, "b": 2}


def test_local_functions_are_opened() -> None:
    block = helper.make_function(
        "local",
        "Block",
        ["x", "w"],
        ["y", "x"],
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("Conv", ["r", "w"], ["y"]),
        ],
        [helper.make_opsetid("", 18)],
        ["group"],
    )
    reference = onnx.AttributeProto(name="group", ref_attr_name="group", type=onnx.AttributeProto.INT)
    block.node[1].attribute.append(reference)
    nodes = [
        helper.make_node("Block", ["image", "a"], ["1", "image_again"], domain="local", group=2),
        helper.make_node("Block", ["1", "b"], ["2", ""], domain="local", group=4),
        node("Conv", "image_again, c", "3"),
    ]
    model = helper.make_model(
        graph_of(nodes, [weight("a", 4, 2, 3, 3), weight("b", 4, 1, 3, 3), weight("c")]), functions=[block]
    )
    facts = facts_of(model)
    assert facts.convolutions == {
        "a": ConvolutionFacts(1, 2),
        "b": ConvolutionFacts(2, 4),
        "c": ConvolutionFacts(0, 1),
    }
    assert facts.op_counts == {"Relu": 2, "Conv": 3}


def refused(model: onnx.ModelProto) -> UnextractableError:
    with pytest.raises(UnextractableError) as caught:
        understand(model, "bad.onnx")
    assert caught.value.reason is SkipReason.UNREADABLE
    assert caught.value.place.file == "bad.onnx"
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_cycle_is_refused() -> None:
    nodes = [node("Add", "image, 3", "1"), node("Conv", "1, a", "2"), node("Relu", "2", "3")]
    assert "has a cycle at or before node 'Add_0'" in str(refused(model_of(nodes, [weight("a")])))


def test_a_weight_chain_that_bites_its_tail_is_refused() -> None:
    nodes = [node("Identity", "y", "x"), node("Identity", "x", "y"), node("Conv", "image, y", "1")]
    assert "cycle" in str(refused(model_of(nodes)))


def test_a_missing_weight_is_named() -> None:
    error = refused(model_of([helper.make_node("Conv", ["image", "lost\nname"], ["1"], name="stem")]))
    assert "node 'stem' (Conv) reads 'lost\\nname', which nothing in the ONNX graph provides" in str(error)
    assert error.place.tensor == "lost\nname"


def test_a_name_defined_twice_is_refused() -> None:
    nodes = [node("Conv", "image, a", "1"), node("Relu", "image", "1")]
    assert "defines '1' twice" in str(refused(model_of(nodes, [weight("a")])))
    assert "defines 'a' twice" in str(refused(model_of([node("Relu", "image", "1")], [weight("a"), weight("a")])))


def test_functions_that_call_themselves_or_unfold_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(name: str, *called: str) -> onnx.FunctionProto:
        calls = [helper.make_node(each, ["x"], [f"y{i}"], domain="local") for i, each in enumerate(called)]
        return helper.make_function("local", name, ["x"], ["y0"], calls, [helper.make_opsetid("", 18)])

    call = helper.make_node("f0", ["image"], ["1"], domain="local")
    selfish = helper.make_model(graph_of([call]), functions=[function("f0", "f0")])
    assert "nested more than 32 deep" in str(refused(selfish))

    monkeypatch.setattr(onnx_flow, "MAX_OPERATORS", 10_000)
    bomb = [function(f"f{i}", f"f{i + 1}", f"f{i + 1}") for i in range(30)] + [function("f30", "Relu")]
    unfolding = helper.make_model(graph_of([call]), functions=bomb)
    assert "unfolds into more than 10000 nodes" in str(refused(unfolding))


def test_a_chain_of_fifty_thousand_nodes_needs_no_recursion() -> None:
    nodes = [node("Relu", "image" if i == 0 else f"v{i - 1}", f"v{i}") for i in range(50_000)]
    nodes += [node("Conv", "v49999, a", "y")]
    assert depths(model_of(nodes, [weight("a")])) == {"a": 0}


def test_a_weight_is_not_followed_without_end() -> None:
    nodes = [node("Identity", "a" if i == 0 else f"a{i - 1}", f"a{i}") for i in range(5_000)]
    nodes += [node("Conv", "image, a9", "1"), node("Conv", "1, a4999", "2", kernel_shape=[3, 3])]
    graph = understand(model_of(nodes, [weight("a")]), "m.onnx")
    assert graph.facts.convolutions == {"a": ConvolutionFacts(0, 1)}
    assert graph.notes == ("left out 1 2-D convolution(s) whose weight passes through more than 64 nodes",)
