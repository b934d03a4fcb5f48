"""Second copies of a model inside its own checkpoint: exponential moving averages, teachers, momentum encoders.

A copy is left out only where its raw twin is there under the same tail names; alone, it is the model.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from distributed.formats.naming import strip_prefixes

#: Words that mark a segment of a name as a copy (``model_ema``, ``g_ema``, ``teacher``, ``backbone_momentum`` …).
_COPY_SEGMENT = re.compile(
    r"(^|_)(ema\d*|teacher|momentum|shadow|swa|polyak|averaged|avg_model)(_|$)|EMA"
    r"|^(encoder_k|key_encoder|target_(encoder|net|network|model|projector|backbone))$"
)

#: A copy's raw twin has at least this share of the copy's tail names.
_TWIN_SHARE = 0.9

#: Segments looked at from the left for a copy's mark, and removed from the left to find tail names.
_MAX_PREFIX = 4


@dataclass(frozen=True, slots=True)
class CopyChoice:
    """What remains of a list of names.

    Attributes:
        kept: (index into the names, name it goes by), in the order of the names. With ``prefer_ema`` the copy's tensor
            goes by its twin's name, at its twin's place.
        notes: one sentence for each copy found.
    """

    kept: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]


def is_copy_segment(segment: str) -> bool:
    """Whether one segment of a name, by itself, marks an averaged or teacher copy."""
    return _COPY_SEGMENT.search(segment) is not None


def choose_copies(names: Sequence[str], shapes: Sequence[tuple[int, ...]], prefer_ema: bool) -> CopyChoice:
    """Leave out each copy whose raw twin is present, or with ``prefer_ema`` the twin instead."""
    groups = _copy_groups(names)
    if not groups:
        return CopyChoice(tuple(enumerate(names)), ())
    in_copy = {index for members in groups.values() for index in members}
    raw = _raw_tails(names, shapes, [index for index in range(len(names)) if index not in in_copy])
    tensor_at = {index: index for index in range(len(names))}
    notes: list[str] = []
    for prefix, members in groups.items():
        twins = _twins(names, shapes, prefix, members, raw)
        # Single values beside the weights (decay, num_updates) have no twin and say nothing.
        weights = [index for index in members if shapes[index]]
        if not weights or sum(index in twins for index in weights) < _TWIN_SHARE * len(weights):
            continue
        for index in members:
            del tensor_at[index]
        free = {index: twin for index, twin in twins.items() if tensor_at[twin] == twin}
        if prefer_ema and free:
            tensor_at |= {twin: index for index, twin in free.items()}
            notes.append(
                f"took the averaged or teacher copy {prefix!r} ({len(free)} tensors) in place of the raw weights"
            )
        else:
            notes.append(f"left out the averaged or teacher copy {prefix!r} ({len(members)} tensors)")
    return CopyChoice(tuple((index, names[place]) for place, index in tensor_at.items()), tuple(notes))


_Key = tuple[str, tuple[int, ...]]


def _copy_groups(names: Sequence[str]) -> dict[str, list[int]]:
    """Copy prefix (up to and with the marking segment) → indices of its names."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        segments = name.split(".")
        for position, segment in enumerate(segments[: min(_MAX_PREFIX, len(segments) - 1)]):
            if is_copy_segment(segment):
                groups[".".join(segments[: position + 1])].append(index)
                break
    return groups


def _raw_tails(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], indices: Sequence[int]
) -> dict[_Key, list[tuple[str, int]]]:
    """(tail without dots, shape) → (removed prefix, index). Some averaging code writes names without their dots."""
    tails: dict[_Key, list[tuple[str, int]]] = defaultdict(list)
    for index in indices:
        segments = names[index].split(".")
        for cut in range(min(_MAX_PREFIX, len(segments) - 1) + 1):
            tails["".join(segments[cut:]), shapes[index]].append((".".join(segments[:cut]), index))
    return tails


def _twins(
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    prefix: str,
    members: Sequence[int],
    raw: dict[_Key, list[tuple[str, int]]],
) -> dict[int, int]:
    """Index of each member → index of its raw twin, all twins under one common prefix: the one that fits most."""
    tails = strip_prefixes([names[index][len(prefix) + 1 :] for index in members])
    candidates = [
        (index, raw.get((tail.replace(".", ""), shapes[index]), [])) for index, tail in zip(members, tails, strict=True)
    ]
    votes = Counter(twin_prefix for _, found in candidates for twin_prefix, _ in found)
    if not votes:
        return {}
    most = max(votes.values())
    best = [twin_prefix for twin_prefix, count in votes.items() if count == most]
    # {"g": …, "d": …, "g_ema": …}: of equally good prefixes the one whose name is in the copy's.
    mark = prefix.rsplit(".", 1)[-1]
    chosen = next((p for p in best if p and p.rsplit(".", 1)[-1] in mark.split("_")), best[0])
    return {index: twin for index, found in candidates for twin_prefix, twin in found if twin_prefix == chosen}
