"""One setting: its default and what it means, said once, where its type stands."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any


def setting(default: Any, meaning: str) -> Any:
    """A field of a settings dataclass; ``--help`` prints ``meaning`` beside ``default``.

    Use it as ``bins: int = setting(70, "of the histograms")``; with ``...`` the value must be given.
    """
    without = default is ...
    return dataclasses.field(default=dataclasses.MISSING if without else default, metadata={"meaning": meaning})


def settings_in_words(settings_class: type) -> Iterator[str]:
    """``name: default # meaning`` of each field made by ``setting``, as a YAML config would have it."""
    for each in dataclasses.fields(settings_class):
        if "meaning" in each.metadata:
            yield f"{each.name}: {_as_yaml(each.default)} # {each.metadata['meaning']}"


def _as_yaml(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "???"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return str(value) if isinstance(value, str) else json.dumps(value)
