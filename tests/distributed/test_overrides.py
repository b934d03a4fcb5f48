"""Texts reach the settings as they were typed, whatever is in them."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from analysis.compare.settings import CompareSettings
from distributed.overrides import quoted_texts
from distributed.settings import ExtractionRun

CONDITIONS = [
    "task = 'Segmentation' and conv_depth > 0",
    "conv_depth>0",
    "name LIKE '%(x)%' OR name in ('a', 'b')",
    "name = 'it''s'",
    "name = 'back\\slash\\'",
    "regexp_matches(name, '\\d+')",
    "name = '${x}' and conv_depth > 0",
    "\"task\" = 'x'",
    "is_depthwise",
    "not is_depthwise",
    "conv_depth >\n 0",
    "conv_depth > 0 \\",
]
PATHS = [
    "a=b",
    "a#b",
    "it's",
    'a "b"',
    "[x]",
    "{x}",
    "a, b",
    "~/x y",
    "1e3",
    "0010",
    "true",
    "back\\ slash",
    "Ünï/文",
    "a:b",
    "",
]


def typed(argument: str, settings: type) -> object:
    """What the setting holds in the end."""
    (quoted,) = quoted_texts([argument], settings)
    value = OverridesParser.create().parse_override(quoted).value()
    return OmegaConf.to_container(OmegaConf.create({"x": value}), resolve=True)["x"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_survive_hydra(condition: str) -> None:
    assert typed(f"where={condition}", CompareSettings) == condition


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["out", "basis", "model", "store.uri"])
def test_paths_survive_hydra(name: str, path: str) -> None:
    assert typed(f"{name}={path}", CompareSettings) == path


def test_every_kind_of_source_is_asked_for_its_texts() -> None:
    given = ["source.path=a=b", "source.manifest=#1.yaml", "source.author=x#y"]
    assert [typed(each, ExtractionRun) for each in given] == ["a=b", "#1.yaml", "x#y"]


def test_lists_of_texts_stay_lists() -> None:
    given = ["extract.include=[a*,b*]", "extract.exclude=head.*", "axes=[task]"]
    assert quoted_texts(given, ExtractionRun) == given


def test_hydras_own_quotes_and_other_overrides_stay() -> None:
    given = ["axes=[task,depth]", "where=null", "where='task = \\'x\\''", "out=a b", 'where="conv_depth > 0"', "bins=3"]
    assert quoted_texts(given, CompareSettings) == given
