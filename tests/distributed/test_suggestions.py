from __future__ import annotations

import pytest

from distributed.suggestions import did_you_mean, nearest

AXES = ["task", "visual_category", "training_dataset", "depth"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("tsk", "task"), ("taks", "task"), ("TASK", "task"), ("visual-category", "visual_category"), ("depht", "depth")],
)
def test_the_nearest_name_is_suggested(name: str, meant: str) -> None:
    assert did_you_mean(name, AXES) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("name", ["", "colour", "x" * 10_000])
def test_nothing_is_suggested_where_nothing_is_alike(name: str) -> None:
    assert did_you_mean(name, AXES) == ""
    assert did_you_mean(name, []) == ""


def test_several_come_in_order_and_as_they_are_written() -> None:
    assert nearest("resnet18", ["ResNet34", "vit", "resnet-18", "ResNet18"], 3) == ["ResNet18", "resnet-18", "ResNet34"]
