"""One setting: its default and what it means, said once, where its type stands."""

from __future__ import annotations

from dataclasses import MISSING, field
from typing import Any


def setting(default: Any, meaning: str) -> Any:
    """A field of a settings dataclass; ``--help`` prints ``meaning`` beside ``default``.

    Use it as ``bins: int = setting(70, "of the histograms")``; with ``...`` the value must be given.
    """
    return field(default=MISSING if default is ... else default, metadata={"meaning": meaning})
