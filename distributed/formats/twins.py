"""Networks inside one checkpoint that have the names and shapes of another one in it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from distributed.formats.copy_names import is_marked, stem, words_of
from distributed.formats.naming import TRANSPARENT_SEGMENTS, strip_prefixes

#: A network's twin has at least this share of its tensors.
TWIN_SHARE = 0.9

#: Segments looked at from the left for the beginning of a network.
_DEEPEST = 6

#: Twins of one network that are looked at.
_MOST_TWINS = 8

Path = tuple[str, ...]


class ListIndex(str):
    """A segment that is a position in a list, not a name."""


@dataclass(frozen=True, slots=True)
class Branch:
    """The tensors below one prefix.

    Attributes:
        path: its segments.
        members: indices of its tensors.
        marked: whether a word of the path marks it as a copy, another state, or no weights.
        is_container: whether the prefix is a mapping or list of the checkpoint, not a part of dotted names.
    """

    path: Path
    members: tuple[int, ...]
    marked: bool
    is_container: bool


@dataclass(frozen=True, slots=True)
class Twin:
    """Another place with a branch's names and shapes.

    Attributes:
        path: its segments; none: the names that stand at the top.
        pairs: (index of the branch's tensor, index of the twin's).
        is_whole: the two have the same tensors and no others, single values aside.
        is_named: its tensors have the same names; else only the same shapes in the same order.
        is_apart: the branch does not stand inside it.
        is_later: it comes after the branch.
    """

    path: Path
    pairs: tuple[tuple[int, int], ...]
    is_whole: bool
    is_named: bool
    is_apart: bool
    is_later: bool


class Branches:
    """All prefixes of a checkpoint's names that may be a network, and their twins.

    Args:
        paths: segments of each name.
        shapes: of each tensor.
        containers: how many segments of each name are containers.
    """

    def __init__(self, paths: Sequence[Path], shapes: Sequence[tuple[int, ...]], containers: Sequence[int]) -> None:
        self._paths, self._shapes = paths, shapes
        self._single = [math.prod(shape) <= 1 for shape in shapes]
        self._ends = _Ends(paths, shapes, self._single)
        self.all = self._found(containers)
        self._containers = {branch.path for branch in self.all if branch.is_container}

    def _found(self, containers: Sequence[int]) -> list[Branch]:
        """Those with a convolution, marked ones first, from the outermost inwards."""
        first = _first_branching(path for path, single in zip(self._paths, self._single, strict=True) if not single)
        members: dict[Path, list[int]] = defaultdict(list)
        marked: set[Path] = set()
        is_container: set[Path] = set()
        seen: dict[str, bool] = {}
        for index, path in enumerate(self._paths):
            mark: int | None = None
            for length in range(1, min(_DEEPEST, len(path) - 1) + 1):
                segment = path[length - 1]
                if segment not in seen:
                    seen[segment] = is_marked(words_of([segment]))
                if mark is None and seen[segment]:
                    mark = length
                # A mark may stand above the network: ema.online_model, ema.ema_model.
                near_mark = mark is not None and length <= mark + 1
                if near_mark or length <= containers[index] or length == first:
                    prefix = path[:length]
                    members[prefix].append(index)
                    marked |= {prefix} if near_mark else set()
                    is_container |= {prefix} if length <= containers[index] else set()
        found = [
            Branch(path, tuple(indices), path in marked, path in is_container)
            for path, indices in members.items()
            if any(len(self._shapes[index]) >= 3 for index in indices)
        ]
        return sorted(found, key=lambda branch: (not branch.marked, len(branch.path)))

    def is_container(self, path: Path) -> bool:
        """Whether a prefix is a mapping or list of the checkpoint."""
        return path in self._containers

    def are_all(self, branch: Branch, twin: Twin) -> bool:
        """Whether all convolutions stand in the branch, in the twin, or in other twins of the branch."""
        others = [each.path for each in (twin, *self.twins(branch)) if each.is_whole]
        known = {*branch.members, *(index for path in others if path for index in self.below(path))}
        known |= {other for _, other in twin.pairs}
        return all(index in known or len(shape) < 3 for index, shape in enumerate(self._shapes))

    def below(self, path: Path) -> tuple[int, ...]:
        """Indices of the tensors below a prefix."""
        return tuple(index for index, each in enumerate(self._paths) if each[: len(path)] == path)

    def twins(self, branch: Branch) -> list[Twin]:
        """Where else its names and shapes are, or of a bare list the shapes; those first whose names fit best."""
        if self._is_bare(branch):
            return self._by_order(branch)
        weights = [index for index in branch.members if not self._single[index]]
        tails = strip_prefixes([".".join(self._paths[index][len(branch.path) :]) for index in weights])
        own = set(branch.members)
        pairs: dict[Path, dict[int, int]] = defaultdict(dict)
        for index, tail in zip(weights, tails, strict=True):
            for path, other in self._ends.of(tail, self._shapes[index]):
                if other not in own:
                    pairs[path].setdefault(index, other)
        fitting = [path for path, found in pairs.items() if len(found) >= TWIN_SHARE * len(weights)]
        found = []
        for path in sorted(fitting, key=lambda path: _strangeness(branch.path, path))[:_MOST_TWINS]:
            others = [index for index in self.below(path) if not self._single[index] and index not in own]
            is_whole = len(others) == len(weights) == len(pairs[path])
            found.append(self._twin(branch, path, tuple(pairs[path].items()), is_whole, True))
        return found

    def _is_bare(self, branch: Branch) -> bool:
        """Whether it is a list of tensors without names."""
        length = len(branch.path) + 1
        return all(len(self._paths[i]) == length and self._paths[i][-1].isdecimal() for i in branch.members)

    def _by_order(self, branch: Branch) -> list[Twin]:
        own = set(branch.members)

        def weights(indices: Iterable[int]) -> list[int]:
            return [index for index in indices if len(self._shapes[index]) >= 2 and not self._single[index]]

        mine = weights(branch.members)
        shapes = [self._shapes[index] for index in mine]
        found = []
        for path in ((), *(other.path for other in self.all if other is not branch)):
            others = weights(index for index in self.below(path) if index not in own)
            if len(mine) > 1 and [self._shapes[index] for index in others] == shapes:
                found.append(self._twin(branch, path, tuple(zip(mine, others, strict=True)), False, False))
        return found[:_MOST_TWINS]

    def _twin(
        self, branch: Branch, path: Path, pairs: tuple[tuple[int, int], ...], is_whole: bool, is_named: bool
    ) -> Twin:
        return Twin(
            path,
            pairs,
            is_whole,
            is_named,
            is_apart=path != branch.path[: len(path)],
            is_later=branch.members[0] < min(other for _, other in pairs),
        )


class _Ends:
    """Every name by each of its ends: (end without dots, shape) → prefix and index.

    Some averaging code writes names without their dots.
    """

    def __init__(self, paths: Sequence[Path], shapes: Sequence[tuple[int, ...]], single: Sequence[bool]) -> None:
        self._of: Mapping[tuple[str, tuple[int, ...]], list[tuple[Path, int]]] = defaultdict(list)
        for index, path in enumerate(paths):
            if single[index]:
                continue
            for cut in range(min(_DEEPEST, len(path) - 1) + 1):
                end = "".join(segment for segment in path[cut:] if segment not in TRANSPARENT_SEGMENTS)
                self._of[end, shapes[index]].append((path[:cut], index))

    def of(self, tail: str, shape: tuple[int, ...]) -> list[tuple[Path, int]]:
        return self._of.get((tail.replace(".", ""), shape), [])


def _first_branching(paths: Iterable[Path]) -> int:
    """Number of segments up to and with the first in which the names differ."""
    first: Path | None = None
    common = 0
    for path in paths:
        if first is None:
            first, common = path, len(path)
        while first[:common] != path[:common]:
            common -= 1
    return common + 1


def shared(first: Path, second: Path) -> int:
    """How many segments two prefixes have in common from the left."""
    common = 0
    while common < min(len(first), len(second)) and first[common] == second[common]:
        common += 1
    return common


def apart(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """The words in which two prefixes differ; where those are bare numbers, with the words of what they count."""
    common = shared(first, second)
    rests = first[common:], second[common:]
    counted = words_of(first[common - 1 : common]) if all(rest and rest[0].isdecimal() for rest in rests) else []
    return [*counted, *words_of(rests[0])], [*counted, *words_of(rests[1])]


def _strangeness(first: Path, second: Path) -> tuple[bool, bool, bool, int]:
    """How far the second is from being the original of the first by its name: by marks, words, numbers, nesting."""
    a, b = apart(first, second)
    return (
        is_marked(words_of(second)),
        stem(a) != stem(b),
        stem(a, numbers=True) != stem(b, numbers=True),
        abs(len(first) - len(second)),
    )
