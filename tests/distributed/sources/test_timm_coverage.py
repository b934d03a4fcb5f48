"""How many of timm's tags have known training data; those with 3x3 filters that have none are documented."""

from __future__ import annotations

import re

import pytest
import timm
import torch

from distributed.sources.vocabulary import data_of_timm_tag
from tests.conftest import REPOSITORY

#: Tags that hold 3x3 filters, of timm 1.0.31 (all architectures built).
WITH_3X3 = 1117


def unknown_tags() -> list[str]:
    return [name for name in timm.list_pretrained() if data_of_timm_tag(name.partition(".")[2]).training is None]


def documented() -> set[str]:
    text = (REPOSITORY / "docs" / "labels.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE))


def test_most_tags_are_known_and_what_is_documented_is_not() -> None:
    unknown, names = unknown_tags(), timm.list_pretrained()
    assert 1 - len(unknown) / len(names) > 0.92
    assert documented()
    assert documented() & set(names) <= set(unknown)
    assert 1 - len(documented()) / WITH_3X3 >= 0.99


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_tags_with_3x3_filters_all_unknown_ones_are_documented() -> None:
    """Builds the architecture of each unknown tag on the meta device: a minute on an idle core."""
    unknown = unknown_tags()
    holds: dict[str, bool] = {}
    for architecture in sorted({name.partition(".")[0] for name in unknown}):
        with torch.device("meta"):
            model = timm.create_model(architecture, pretrained=False)
        holds[architecture] = any(each.ndim == 4 and each.shape[2:] == (3, 3) for each in model.parameters())
    found = {name for name in unknown if holds[name.partition(".")[0]]}
    print(f"training data known of {1 - len(found) / WITH_3X3:.2%} of {WITH_3X3} tags with 3x3 filters: not {found}")
    assert found == documented()
