"""What a run would cost, without running it."""

from __future__ import annotations

def show_plan(*args: object) -> None: ...
