"""``where=`` reaches the settings as it was typed, whatever SQL is in it."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from analysis.overrides import quoted_condition


@pytest.mark.parametrize(
    "condition",
    [
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
    ],
)
def test_condition_survives_hydra(condition: str) -> None:
    (argument,) = quoted_condition([f"where={condition}"])
    value = OverridesParser.create().parse_override(argument).value()
    config = OmegaConf.create({"where": value})
    assert OmegaConf.to_container(config, resolve=True) == {"where": condition}


def test_hydras_own_quotes_and_other_overrides_stay() -> None:
    given = ["axes=[task,depth]", "where=null", "where='task = \\'x\\''", "out=a b", 'where="conv_depth > 0"']
    assert quoted_condition(given) == given
