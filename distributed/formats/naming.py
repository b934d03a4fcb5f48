"""Names of tensors: natural order, and prefixes that say nothing about the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Segments that wrapping a module inserts anywhere in a name: torch.compile, FSDP, activation checkpointing.
TRANSPARENT_SEGMENTS = frozenset(
    {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_fpw_module"}
)

#: First segments removed only when every name has them: DataParallel, Lightning, and wrappers of flattened files.
SHARED_PREFIXES = frozenset(
    {
        "module",
        "model",
        "state_dict",
        "model_state_dict",
        "params",
        "params_ema",
        "ema",
        "model_ema",
        "ema_model",
    }
)

_DIGITS = re.compile(r"(\d+)")


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``conv2`` before ``conv10``."""
    parts = _DIGITS.split(name)
    # Digit runs are capped so that a hostile name of thousands of digits cannot make int() refuse it.
    return tuple((0, int(part), "") if part.isdecimal() and len(part) <= 18 else (1, 0, part) for part in parts if part)


def strip_prefixes(names: Sequence[str]) -> list[str]:
    """The names without transparent segments and shared prefixes, in the same order.

    A step that would make two names equal, or a name empty, is not taken.
    """
    result = list(names)
    while True:
        step = _one_step(result)
        if step is None or len(set(step)) != len(set(result)) or not all(step):
            return result
        result = step


def _one_step(names: list[str]) -> list[str] | None:
    cleaned = [".".join(s for s in name.split(".") if s not in TRANSPARENT_SEGMENTS) for name in names]
    if cleaned != names:
        return cleaned
    heads = {name.split(".", 1)[0] if "." in name else None for name in names}
    if len(heads) == 1 and (head := heads.pop()) in SHARED_PREFIXES and head is not None:
        return [name[len(head) + 1 :] for name in names]
    return None
