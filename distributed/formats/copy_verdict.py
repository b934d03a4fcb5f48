"""Whether a network and its twin in one checkpoint are one network twice, and which of them counts.

Names say how much agreement of the values is asked for. Where values say nothing (constant, quantised, too few), a
name that marks a copy of its twin is believed, and nothing else is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from distributed.formats.agreement import Agreement, Rows, agreement, chosen_pairs
from distributed.formats.copy_names import is_copy, is_no_weights, is_state, number_of, state_rank, stem, words_of
from distributed.formats.twins import Branch, Branches, ListIndex, Path, Twin, apart, shared

#: Correlation from which two networks are one: where the names say so too (``g`` and ``g_ema``), where both stand in
#: one list, where one is marked but they are called differently besides, and where no name says anything. The last two
#: are of the pair that agrees least: branches that began as one network drift apart somewhere.
_NAMED, _LISTED, _MARKED, _UNNAMED = 0.25, 0.5, 0.9, 0.95

#: A branch of a flat file without any mark is looked at from so many weights on: single layers are no copies.
_FEWEST_WEIGHTS = 3

#: Equal places (``blocks.0``, ``blocks.1`` …) whose values are looked at before the others go with them.
_LOOKED_AT = 3

#: Samples of the tensors of these indices; None for one without numbers (see ``agreement.rows_of``).
Sampler = Callable[[Sequence[int]], Sequence[Rows | None]]


class Kind(Enum):
    """What is left out; the value is how a note says it."""

    COPY = "the averaged or teacher copy"
    STATE = "another state of the same model"
    GRADIENTS = "gradients or the like, no weights"
    POSITIVE = "values about the weights, none of them negative"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of the two is left out.

    Attributes:
        kind: as what.
        twin_goes: it is the twin, not the branch.
        correlation: of the values; None where they were not asked or say nothing.
    """

    kind: Kind
    twin_goes: bool = False
    correlation: float | None = None


class Judge:
    """Decides about the branches of one checkpoint and their twins; keeps what it has read."""

    def __init__(self, branches: Branches, shapes: Sequence[tuple[int, ...]], sample: Sampler) -> None:
        self._branches, self._shapes, self._sample = branches, shapes, sample
        self._read: dict[int, Rows | None] = {}
        self._alike: dict[tuple[str, ...], list[Verdict | None]] = {}

    def verdict(self, branch: Branch, twin: Twin) -> Verdict | None:
        """None: two networks, both count."""
        known = self._alike.setdefault(_family(branch.path, twin.path), [])
        if len(known) >= _LOOKED_AT and len({(each and each.kind) for each in known}) == 1:
            return known[0]
        found = self._verdict(branch, twin)
        known.append(found)
        return found

    def _verdict(self, branch: Branch, twin: Twin) -> Verdict | None:
        ours, theirs = apart(branch.path, twin.path)
        related = stem(ours) == stem(theirs) or (is_copy(ours) and not twin.path)
        if not twin.is_named:
            return self._unnamed(twin, is_copy(ours))
        if related and is_no_weights(ours) and not stem(ours):
            return Verdict(Kind.GRADIENTS)
        in_containers = branch.is_container and self._branches.is_container(twin.path)
        if related and twin.is_apart and (is_state(ours) or is_state(theirs)):
            return self._states(branch, twin, in_containers)
        if is_copy(ours) and not is_copy(theirs):
            return self._marked(twin, related, ours)
        if not twin.is_apart or not twin.is_whole:
            return None
        return self._unmarked(branch, twin, in_containers)

    def _unnamed(self, twin: Twin, marked: bool) -> Verdict | None:
        """A list of tensors with the shapes of a network in its order: an average without names, or no weights."""
        found = self._agreement(twin)
        if not found.is_known:
            return Verdict(Kind.COPY) if marked else None
        return Verdict(Kind.COPY, False, found.typical) if found.reaches(_NAMED) else Verdict(Kind.GRADIENTS)

    def _states(self, branch: Branch, twin: Twin, in_containers: bool) -> Verdict | None:
        ours, theirs = apart(branch.path, twin.path)
        rank, other = state_rank(ours), state_rank(theirs)
        twin_goes = other < rank or (other == rank and twin.is_later)
        if in_containers and twin.is_whole:
            return Verdict(Kind.STATE, twin_goes)
        # Steps of one network are called so too; but a network has other layers besides.
        if not self._branches.are_all(branch, twin):
            return None
        found = self._agreement(twin)
        return Verdict(Kind.STATE, twin_goes, found.typical) if found.reaches(_NAMED) else None

    def _marked(self, twin: Twin, related: bool, words: list[str]) -> Verdict | None:
        found = self._agreement(twin)
        if not found.is_known:
            return Verdict(Kind.COPY) if related else None
        agrees = found.reaches(_NAMED) if related else found.least >= _MARKED
        if related and not agrees and words in (["momentum"], ["momentums"]):  # of the optimizer
            return Verdict(Kind.GRADIENTS)
        return Verdict(Kind.COPY, False, found.typical) if agrees else None

    def _unmarked(self, branch: Branch, twin: Twin, in_containers: bool) -> Verdict | None:
        """No name says that one is a copy of the other."""
        common = shared(branch.path, twin.path)
        one, other = branch.path[common], twin.path[common]
        words = words_of([one]), words_of([other])
        numbers = number_of(words[0]), number_of(words[1])
        numbered = None not in numbers and numbers[0] != numbers[1] and stem(words[0]) == stem(words[1])
        if isinstance(one, ListIndex) and isinstance(other, ListIndex):
            found = self._agreement(twin)
            if found.reaches(_LISTED):  # [model, optimizer, …, average]
                return Verdict(Kind.COPY, twin.is_later, found.typical)
        elif in_containers or (
            not numbered and common + 1 == len(branch.path) == len(twin.path) and len(twin.pairs) >= _FEWEST_WEIGHTS
        ):
            found = self._agreement(twin)
            agrees = found.is_known and found.least >= _UNNAMED
            if numbered and (agrees or (not stem(words[0]) and found.reaches(_NAMED))):
                return Verdict(Kind.STATE, state_rank(words[0]) > state_rank(words[1]), found.typical)
            if agrees:
                return Verdict(Kind.COPY, twin.is_later, found.typical)
        else:
            return None
        if len(twin.pairs) < _FEWEST_WEIGHTS or not (found.first_only or found.second_only):
            return None
        return Verdict(Kind.POSITIVE, found.second_only)

    def _agreement(self, twin: Twin) -> Agreement:
        pairs = chosen_pairs(twin.pairs, self._shapes)
        missing = [index for index in dict.fromkeys(i for pair in pairs for i in pair) if index not in self._read]
        self._read |= dict(zip(missing, self._sample(missing), strict=True))
        return agreement([(self._read[first], self._read[second]) for first, second in pairs])


def _family(first: Path, second: Path) -> tuple[str, ...]:
    """Equal for pairs that differ only in the numbers above them (``blocks.3.ema``, ``blocks.3.conv``)."""
    common = shared(first, second)
    above = re.sub(r"\d+", "#", ".".join(first[:common]))
    return above, ".".join(first[common:]), ".".join(second[common:])
