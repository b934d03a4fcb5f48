"""Whether this process is connected to a Ray, for code that a run without one also passes through."""

from __future__ import annotations

import sys
from types import ModuleType


def connected_ray() -> ModuleType | None:
    """The module ``ray`` if this process is connected to one. Where nobody imported it, it is not imported for this."""
    ray = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None
