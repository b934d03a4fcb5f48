"""Which files are models, from names alone: no name that a repository can have ends a listing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from distributed.plan import Planner
from distributed.recording import reject_of
from distributed.settings import Retry
from distributed.sources import list_references
from distributed.sources.files import SUFFIXES, find_models, is_weight_file, preference, stands_for_folder
from distributed.sources.settings import HubSettings, LocalSettings
from distributed.sources.shards import WeightFiles
from distributed.store import Store, StoreSettings
from tests.distributed.sources.models import weights
from tests.loopback_hub import LoopbackHub


def found(*paths: str) -> list[WeightFiles]:
    return find_models(paths, lambda path: "")


SHARDS = {
    "numbers narrower than the count": (["m-0001-of-00002.bin", "m-0002-of-00002.bin"], ()),
    "counted from zero": (["m-00000-of-00002.bin", "m-00001-of-00002.bin"], ()),
    "from zero, the last one missing": (["m-00000-of-00002.bin"], ("m-00001-of-00002.bin",)),
    "from one, the first one missing": (["m-00002-of-00002.bin"], ("m-00001-of-00002.bin",)),
    "more than are looked for": (["m-20000-of-20000.bin"], tuple(f"m-{i:05d}-of-20000.bin" for i in range(1, 10_001))),
    "a name of two lines": (["a\nb-001-of-001.bin"], ()),
}  # fmt: skip


@pytest.mark.parametrize("case", SHARDS)
def test_shards_without_an_index(case: str) -> None:
    there, missing = SHARDS[case]
    assert found(*there) == [WeightFiles(there[0], tuple(there), missing)]


ALONE = {
    "beyond the count": ["m-00003-of-00002.bin"],
    "of none": ["m-00001-of-00000.bin"],
    "a number without end": [f"m-{'9' * 5000}-of-00002.bin"],
    "a count without end": [f"m-00001-of-{'9' * 5000}.bin"],
    "digits of another script": ["m-٠٠٠٠١-of-٠٠٠٠٢.bin"],
}


@pytest.mark.parametrize("case", ALONE)
def test_names_that_only_look_like_shards_stand_for_themselves(case: str) -> None:
    (name,) = ALONE[case]
    assert found(name) == [WeightFiles(name, (name,))]


def test_two_numberings_side_by_side_are_two_models() -> None:
    narrow, wide = ["m-001-of-002.bin", "m-002-of-002.bin"], ["m-00001-of-00002.bin", "m-00002-of-00002.bin"]
    assert {model.files for model in found(*narrow, *wide)} == {tuple(narrow), tuple(wide)}


NUMBERS = st.sampled_from(["0", "000", "001", "00000", "00001", "00002", "99999", "٠٠١", "9" * 5000]) | st.text("0123")
NAMES = st.builds(
    "".join,
    st.lists(
        st.one_of(
            st.sampled_from(["model", "pytorch_model", "-of-", "-", ".", "/", ".index", ".json", ".fp16", "\n"]),
            st.sampled_from(SUFFIXES),
            st.builds("-{}-of-{}".format, NUMBERS, NUMBERS),
            st.text(max_size=4),
        ),
        min_size=1,
        max_size=6,
    ),
)  # fmt: skip
INDEXES = st.one_of(
    st.sampled_from(["", "[", "{}", '{"weight_map": 3}', '{"weight_map": {"a": null, "b": "\\ud800"}}']),
    st.builds(lambda names: json.dumps({"weight_map": dict(enumerate(names))}), st.lists(NAMES, max_size=4)),
)


@given(st.lists(NAMES, max_size=8, unique=True), INDEXES)
@example(["model-0001-of-00002.safetensors"], "")
@example(["model-00000-of-00002.safetensors", "model-00001-of-00002.safetensors"], "")
@example(["model-00001-of-00000.safetensors"], "")
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
def test_no_name_ends_a_listing_and_every_weight_file_is_accounted_for(paths: list[str], index: str) -> None:
    models = find_models(paths, lambda path: index)
    told = {path for model in models for path in (*model.files, *model.left_out)}
    assert told <= set(paths)
    assert all(model.entry == model.files[0] for model in models)
    left_out = {path for model in models for path in model.left_out}
    shards = {path for path in paths if "-of-" in path}  # of a model that is left out only its entry is named
    assert {path for path in paths if is_weight_file(path)} - told <= shards
    assert not left_out & {model.entry for model in models}
    for path in paths:
        stands_for_folder(path)
        preference(path)


ODD = [
    "net-0001-of-00002.safetensors",
    "net-00000-of-00002.safetensors",
    "net-00003-of-00002.safetensors",
    "two\nlines-00001-of-00002.safetensors",
    "[red]markup.safetensors",
    "-m.safetensors",
    " .safetensors",
    "a..safetensors",
    f"{'9' * 200}-001-of-002.safetensors",
    "émodèle 模型 🙂.safetensors",
    "$(x);'\"`.safetensors",
    "model.safetensors.index.json",
]


def test_odd_names_in_a_folder_and_in_a_repository(tmp_path: Path, hub: LoopbackHub) -> None:
    for root in (tmp_path / "models", hub.root / "o/odd"):
        root.mkdir(parents=True)
        for name in ODD[:-1]:
            save_file(weights(), root / name)
        (root / ODD[-1]).write_text('{"weight_map": {"a": "../gone\\ud800-00001-of-00002.safetensors"}}')
    local = list_references(LocalSettings(str(tmp_path / "models")))
    remote = list_references(HubSettings(("o/odd",), files=("*",)))
    for listed in (local, remote):
        assert {file.path for each in listed for file in each.files} == set(ODD)
        assert len({each.name for each in listed}) == len(listed)
        store = Store.open(StoreSettings(str(tmp_path / "store")))
        problems = [each for each in Planner(store, Retry.none).plan(listed).settled if each.message]
        assert len(problems) == 5
        for each in problems:
            assert "\n" not in str(each.message)
            store.write_skip(reject_of(each))
            assert store.skips()[each.reference.reference_key].name == each.reference.name


INDEX = json.dumps({"weight_map": {"a": "m-00001-of-00003.bin", "b": "m-00003-of-00003.bin"}})
TWO = ["m-00001-of-00002.bin", "m-00002-of-00002.bin"]


def with_index(*paths: str, index: str = INDEX) -> list[WeightFiles]:
    return find_models(["m.bin.index.json", *paths], lambda path: index)


def test_an_index_of_another_time_gives_way_to_what_is_complete() -> None:
    left_out = ("m.bin.index.json",)
    assert with_index(*TWO) == [WeightFiles(TWO[0], tuple(TWO), (), left_out)]
    assert with_index("m.bin") == [WeightFiles("m.bin", ("m.bin",), (), left_out)]
    assert with_index("m.bin", "m-00001-of-00003.bin")[-1] == WeightFiles("m.bin", ("m.bin",), (), left_out)
    of_three = [f"m-0000{number}-of-00003.bin" for number in (1, 2, 3)]
    assert with_index(*of_three) == [WeightFiles(of_three[0], tuple(of_three), (), left_out)]


def test_an_index_whose_shards_are_lost_is_still_named() -> None:
    (model,) = with_index("m-00001-of-00003.bin")
    assert model == WeightFiles(
        "m.bin.index.json", ("m.bin.index.json", "m-00001-of-00003.bin"), ("m-00003-of-00003.bin",)
    )
    assert {each.missing for each in with_index(TWO[0])} == {
        ("m-00001-of-00003.bin", "m-00003-of-00003.bin"),
        ("m-00002-of-00002.bin",),
    }


def test_a_complete_format_stands_before_an_incomplete_one() -> None:
    paths = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "pytorch_model.bin"]
    shards = {f"model-0000{number}-of-00002.safetensors": "x" for number in (1, 2)}
    index = json.dumps({"weight_map": {str(number): name for number, name in enumerate(shards)}})
    (model,) = find_models(paths, lambda path: index)
    assert (model.entry, model.missing) == ("pytorch_model.bin", ())
    assert model.left_out == ("model.safetensors.index.json",)


def test_a_pattern_asks_for_any_suffix() -> None:
    paths = ["a.pkl", "b.pkl", "net.pth", "README.md", "G_latest"]

    def chosen(*patterns: str) -> list[str]:
        return [model.entry for model in find_models(paths, lambda path: "", patterns)]

    assert chosen("*.pkl") == ["a.pkl", "b.pkl"]
    assert chosen("G_latest") == ["G_latest"]
    assert chosen("*") == ["net.pth"]
