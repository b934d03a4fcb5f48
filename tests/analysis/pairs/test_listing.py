"""Which models are paired: files, columns, and a line for everything that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.pairs.depths import with_shared_depths
from analysis.pairs.listing import Pair, PairList, pairs_in_file
from analysis.pairs.matching import Candidates, matched_pairs
from analysis.pairs.settings import PairsSettings
from analysis.selection.view import flat_view
from distributed.composition import composed
from distributed.errors import UserError
from distributed.store.settings import StoreSettings
from tests.stores import Layer, Model, tables

NEAR = StoreSettings("data")


def models() -> list[Model]:
    """Two nets of three recipes, one net of one; two models of one name."""
    plan = [
        ("res18.a1", "res18", "a1", "in1k"),
        ("res18.tv", "res18", "tv", "in1k"),
        ("res18.tv2", "res18", "tv", "in1k"),
        ("res18.big", "res18", "a1", "in22k"),
        ("res50.a1", "res50", "a1", "in1k"),
        ("res50.tv", "res50", "tv", "in1k"),
        ("alone.a1", "alone", "a1", "in1k"),
        ("odd.tv", None, "tv", "in1k"),
        ("same", "same", None, "in1k"),
        ("same", "same", None, "in1k"),
    ]
    generator = np.random.default_rng(0)
    return [
        Model(
            name,
            [Layer(f"c{i}", i, float(i), generator.normal(size=(4, 9))) for i in range(2)],
            {"architecture": net, "recipe": recipe, "training_dataset": data},
            content=f"{name}{number}",
        )
        for number, (name, net, recipe, data) in enumerate(plan)
    ]


def flat() -> pa.Table:
    return flat_view(*tables(models()))


def names_of(found: PairList | list[Pair], table: pa.Table) -> list[tuple[str, str]]:
    labels = dict(zip(table.column("model_id").to_pylist(), table.column("model_label").to_pylist(), strict=True))
    return [(labels[pair.a], labels[pair.b]) for pair in getattr(found, "pairs", found)]


def matched(
    match: tuple[str, ...] = ("architecture",), values: tuple[str, ...] = ("a1", "tv"), most: int = 99
) -> PairList:
    return matched_pairs(Candidates.of(flat(), match, "recipe"), values, most)


# By what they have in common


def test_all_models_that_match_are_paired() -> None:
    found = matched(("architecture", "training_dataset"))
    assert names_of(found, flat()) == [("res18.a1", "res18.tv"), ("res18.a1", "res18.tv2"), ("res50.a1", "res50.tv")]
    assert [pair.label for pair in found.pairs] == ["res18 · in1k", "res18 · in1k", "res50 · in1k"]
    assert found.sides == ("a1", "tv")
    assert list(found.notes) == [
        "recipe: not known of 2 models: not paired",
        "architecture: not known of 1 model: not paired",
        "2 of 4 models of a1 match no other",
        "1 of 4 models of tv match no other",
    ]
    assert len(matched()) == 5  # with the one of other data


def test_sides_are_in_the_order_of_the_values() -> None:
    assert names_of(matched(("architecture", "training_dataset"), ("tv", "a1")), flat())[0] == ("res18.tv", "res18.a1")


def test_what_is_offered_is_what_there_is() -> None:
    candidates = Candidates.of(flat(), ("architecture",), "recipe")
    assert candidates.values == ["a1", "tv"]
    assert candidates.offered().tolist() == [[0, 5], [5, 0]]
    by_data = Candidates.of(flat(), ("recipe",), "training_dataset")
    first, second = by_data.sides(())
    assert len(by_data.pairs(first, second)) == by_data.offered()[first, second] == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: matched(values=("a1", "tvv")),
            "contrast=recipe has no value 'tvv'; did you mean 'tv'?; there are: a1 (4",
        ),
        (
            lambda: matched(("architecture", "name")),
            "of 4 models of a1 and 4 models of tv no two agree in architecture",
        ),
        (lambda: matched(most=4), "5 pairs, more than max_pairs=4"),
        (lambda: matched(("architektur",)), "there is no axis 'architektur'; did you mean 'architecture'?"),
        (lambda: matched(("depth",)), "depth differs between the layers of"),
        (
            lambda: matched_pairs(Candidates.of(flat(), ("recipe",), "architecture"), (), 9),
            "contrast=architecture has 4 values: name two, as in values=[a,b]; there are: res18 (4 models), ",
        ),
        (
            lambda: matched_pairs(Candidates.of(flat(), ("recipe",), "license"), (), 9),
            "contrast=license has 0 values: name two, as in values=[a,b]; there are: none",
        ),
        (
            lambda: matched_pairs(Candidates.of(flat(), ("recipe",), "license"), ("mit", "gpl"), 9),
            "contrast=license has no value 'mit'; there are: none",
        ),
    ],
)
def test_what_cannot_be_matched_is_told_in_a_line(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as raised:
        call()
    assert "\n" not in str(raised.value)


# By a file


def one_row_a_model() -> pa.Table:
    table = flat()
    return table.take(
        np.unique(table.column("model_id").to_numpy(zero_copy_only=False).astype(str), return_index=True)[1]
    )


def read(folder: Path, *lines: str, name: str = "pairs.csv") -> PairList:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pairs_in_file(str(path), NEAR, one_row_a_model())


def test_models_are_named_in_any_way(tmp_path: Path) -> None:
    known = models()
    found = read(
        tmp_path,
        "normal,robust,data",
        f"res18.a1,{known[1].model_id},in1k",
        "",
        "res50.a14.pt,res50.tv,",
        f"same [{known[8].model_id}], alone.a1 ,x",
    )
    assert found.sides == ("normal", "robust")
    assert names_of(found, flat()) == [
        ("res18.a1", "res18.tv"),
        ("res50.a1", "res50.tv"),
        (f"same [{known[8].model_id}]", "alone.a1"),
    ]
    assert [(pair.label, pair.place) for pair in found.pairs] == [("in1k", "line 2"), ("", "line 4"), ("x", "line 5")]


def test_a_pairing_as_the_robustness_paper_publishes_it_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, ",Robust,Normal,Arch,Dataset", "0,res18.tv,res18.a1,resnet18,imagenet")
    assert (found.sides, found.pairs[0].label) == (("Robust", "Normal"), "resnet18 · imagenet")
    assert names_of(found, flat()) == [("res18.tv", "res18.a1")]


def test_formats_say_the_same(tmp_path: Path) -> None:
    expected = [("res18.a1", "res18.tv")]
    yaml = read(tmp_path, "pairs:", "- {a: res18.a1, b: res18.tv}", name="pairs.yaml")
    pq.write_table(pa.table({"a": ["res18.a1"], "b": ["res18.tv"]}), tmp_path / "pairs.parquet")
    parquet = pairs_in_file(str(tmp_path / "pairs.parquet"), NEAR, one_row_a_model())
    assert names_of(yaml, flat()) == names_of(parquet, flat()) == expected
    assert (yaml.pairs[0].place, parquet.pairs[0].place) == ("entry 1", "row 1")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["res18.a1,res18.tw"],
            "line 3: the store has no model 'res18.tw' (by model_id, name, uri, file); did you mean",
        ),
        (["same,res18.a1"], "line 3: name 'same' is of 2 models (same ["),
        (["somewhere,res18.a1"], "line 3: uri 'somewhere' is of 10 models"),
        (["res18.a1,"], "line 3: no model in column 'b'"),
        (["res18.a1"], "line 3: no model in column 'b'"),
        (["res18.tv,res18.tv"], "line 3: res18.tv is paired with itself"),
        (["res50.a1,res50.tv"], "line 3: res50.a1 and res50.tv are paired in line 2 already"),
        (["res50.tv,res50.a1"], "line 3: res50.tv and res50.a1 are paired in line 2 already"),
        (["res18.a1,b,c"], "line 3 has 3 cells, the heading 2"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as raised:
        read(tmp_path, "a,b", "res50.a1,res50.tv", *lines)
    assert str(raised.value).startswith("pairs=")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [(["a"], "give two columns"), (["a,b"], "give two columns"), (["a", "res18.a1"], "give two columns")],
)
def test_a_file_without_pairs_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, *lines)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pairs=.*none\.csv: cannot be read"):
        pairs_in_file(str(tmp_path / "none.csv"), NEAR, one_row_a_model())
    with pytest.raises(UserError, match=r"pairs=pairs\.txt|ends with"):
        read(tmp_path, "a,b", name="pairs.txt")


# Settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "says which models are paired: neither is given"),
        ({"pairs": "x.csv", "contrast": "recipe", "match": ("task",)}, "both is given"),
        ({"pairs": "x.csv", "match": ("task",)}, "match and values go with contrast"),
        ({"contrast": "recipe"}, "contrast=recipe: name the columns in which paired models agree"),
        ({"contrast": "recipe", "match": ("recipe",)}, "stands in match as well"),
        ({"contrast": "recipe", "match": ("task",), "values": ("a",)}, "values=[a]: give two"),
        ({"contrast": "recipe", "match": ("task",), "values": ("a", "a")}, "values=[a,a]: give two"),
        ({"contrast": "recipe", "match": ("task",), "timm": "resnet*"}, "add dry_run=true"),
        ({"pairs": "x.csv", "timm": "resnet*", "dry_run": True}, "a file names models of a store"),
        ({"pairs": "x.csv", "flips": 0}, "flips=0: give 1 to"),
        ({"pairs": "x.csv", "span": (3.0, -3.0)}, "give two rising numbers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        PairsSettings(NEAR, **given)  # type: ignore[arg-type]


def test_truth_values_are_written_as_in_a_column() -> None:
    asked = composed("pairs", PairsSettings, ["match=[architecture]", "contrast=robust", "values=[false,true]"])
    assert asked.values == ("false", "true")


# Depths


def test_models_of_the_same_layers_share_the_better_depths() -> None:
    def model(name: str, method: str, depths: dict[str, float]) -> Model:
        layers = [
            Layer(layer, round(10 * depth), depth, np.ones((3, 9)), {"depth_method": method})
            for layer, depth in depths.items()
        ]
        return Model(name, layers)

    table = flat_view(
        *tables(
            [
                model("file", "order", {"a": 0, "b": 0.2, "c": 1}),
                model("graph", "onnx", {"b": 0.5, "a": 0, "c": 1}),
                model("other", "order", {"a": 0, "x": 0.3, "c": 1}),
            ]
        )
    )
    shared, notes = with_shared_depths(table)
    found = {
        (row["name"], row["layer_name"]): (row["conv_depth"], row["conv_depth_norm"]) for row in shared.to_pylist()
    }
    assert found["file", "b"] == found["graph", "b"] == (5, 0.5)
    assert found["other", "x"] == (3, 0.3)
    assert notes == ("layers stand as deep as in graph, which has the same: file",)
    assert shared.schema == table.schema
    again, silent = with_shared_depths(shared)
    assert again.equals(shared)
    assert silent == ()
