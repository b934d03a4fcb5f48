"""One setting: its default and what it means, said once, where its type stands."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Any

from distributed.errors import UserError


def setting(default: Any, meaning: str, within: tuple[float, float] | None = None) -> Any:
    """A field of a settings dataclass; ``--help`` prints ``meaning`` beside ``default``.

    Use it as ``bins: int = setting(70, "of the histograms", (2, 10_000))``; with ``...`` the value must be given.
    ``within`` are the smallest and the largest number that make sense, both included; ``check_bounds`` holds them.
    None, where the type allows it, has no bounds.
    """
    without = default is ...
    metadata = {"meaning": meaning, "within": within}
    return dataclasses.field(default=dataclasses.MISSING if without else default, metadata=metadata)


def check_bounds(settings: Any, group: str = "") -> None:
    """That every number of a settings dataclass lies within its bounds; ``group`` stands before its name.

    Raises:
        UserError: one does not; says what it means.
    """
    for each in dataclasses.fields(settings):
        within, value = each.metadata.get("within"), getattr(settings, each.name)
        if within is not None and value is not None and not within[0] <= value <= within[1]:
            low, high = (f"{bound:,}" for bound in within)
            raise UserError(f"{group}{each.name}={value}: give {low} to {high} ({each.metadata['meaning']})")


def settings_in_words(settings_class: type, indent: str = "") -> Iterator[str]:
    """``name: default # meaning`` of each field made by ``setting``, as YAML has it; groups are indented."""
    hints = typing.get_type_hints(settings_class)
    for each in dataclasses.fields(settings_class):
        if "meaning" in each.metadata:
            yield f"{indent}{each.name}: {_as_yaml(each.default)} # {each.metadata['meaning']}"
        elif dataclasses.is_dataclass(hints[each.name]):
            inner = list(settings_in_words(hints[each.name], indent + "  "))
            if inner:
                yield from (f"{indent}{each.name}:", *inner)


def _as_yaml(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "???"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return str(value) if isinstance(value, str) else json.dumps(value)
