"""Second copies of a network inside its own checkpoint: averages, teachers, other states, gradients.

Two networks with the same names and shapes may be one network twice or two that were trained apart; only their values
tell. A few weights are looked at (``copy_verdict``). A copy is left out only where its twin is there; alone, it is the
model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from distributed.formats.copy_verdict import Judge, Kind, Sampler, Verdict
from distributed.formats.twins import Branches, Path, Twin

#: Copies of one kind (``blocks.0.ema``, ``blocks.1.ema`` …) named in a note before it only counts.
_SHOWN = 2
_NUMBER_ABOVE = re.compile(r"(?<=\.)\d+(?=\.)")


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


def choose_copies(
    names: Sequence[str],
    paths: Sequence[Path],
    containers: Sequence[int],
    shapes: Sequence[tuple[int, ...]],
    *,
    prefer_ema: bool,
    sample: Sampler,
    wanted: Callable[[str], bool],
) -> CopyChoice:
    """Leave out each copy whose twin is present, or with ``prefer_ema`` the twin of an average instead.

    Args:
        names: of all tensors.
        paths: their segments.
        containers: how many segments of each are mappings or lists of the checkpoint.
        shapes: of the tensors.
        prefer_ema: see above.
        sample: reads some values of tensors, by index.
        wanted: whether a name stays, whatever it is a copy of.
    """
    branches = Branches(paths, shapes, containers)
    judge = Judge(branches, shapes, sample)
    tensor_at = {index: index for index in range(len(names))}
    told = _Told()
    for branch in branches.all:
        for twin in branches.twins(branch):
            ours, others = branch.members, branches.below(twin.path)
            if not all(index in tensor_at for index in (*ours, *(other for _, other in twin.pairs))):
                continue
            verdict = judge.verdict(branch, twin)
            if verdict is None:
                continue
            goes = others if verdict.twin_goes else ours
            if any(wanted(names[index]) for index in goes):
                continue
            swaps = [pair[::-1] if verdict.twin_goes else pair for pair in twin.pairs]
            free = {stays: tensor_at[copy] for copy, stays in swaps if tensor_at[stays] == stays}
            for index in goes:
                tensor_at.pop(index, None)
            is_taken = prefer_ema and verdict.kind is Kind.COPY and bool(free)
            if is_taken:
                tensor_at |= free
            told.add(verdict, branch.path, twin, len(goes), is_taken)
            if not verdict.twin_goes:
                break
    return CopyChoice(tuple((index, names[place]) for place, index in tensor_at.items()), told.notes())


@dataclass(frozen=True, slots=True)
class _Copy:
    name: str
    tensors: int
    correlation: float | None


@dataclass
class _Told:
    """The copies found, those of one kind together."""

    _found: dict[tuple[str, str], list[_Copy]] = field(default_factory=dict)

    def add(self, verdict: Verdict, branch: Path, twin: Twin, tensors: int, is_taken: bool) -> None:
        gone, kept = (twin.path, branch) if verdict.twin_goes else (branch, twin.path)
        name, beside = ".".join(gone), ".".join(kept)
        if is_taken:
            said = f"took {Kind.COPY.value} {{}} in place of the raw weights"
        elif verdict.kind is Kind.COPY:
            said = f"left out {Kind.COPY.value} {{}}" + (f" of {beside!r}" if beside else "")
        else:
            said = f"left out {{}}: {verdict.kind.value}"
        said = _NUMBER_ABOVE.sub("*", said)
        self._found.setdefault((said, _NUMBER_ABOVE.sub("*", name)), []).append(
            _Copy(name, tensors, verdict.correlation)
        )

    def notes(self) -> tuple[str, ...]:
        notes = []
        for (said, _), copies in self._found.items():
            shown = ", ".join(repr(each.name) for each in copies[:_SHOWN])
            shown += f" and {len(copies) - _SHOWN} more" if len(copies) > _SHOWN else ""
            note = said.replace("{}", f"{shown} ({sum(each.tensors for each in copies)} tensors)", 1)
            known = [each.correlation for each in copies if each.correlation is not None]
            notes.append(note + (f", correlation {min(known):.3f}" if known else ""))
        return tuple(notes)
