"""The same weights in several repositories, told by the Hub's own digests: one is read, the others wait for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from distributed.errors import Place, SkipReason
from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import ModelReference


def twin_outcome(twin: ModelReference, model_id: str | None, name: str, *, known: bool = False) -> Outcome:
    """Of a reference whose weights the model ``model_id``, called ``name``, is in the store for."""
    return Outcome(
        twin,
        OutcomeKind.SAME_CONTENT,
        model_id=model_id,
        reason=SkipReason.DUPLICATE_OF,
        message=f"the same content as {name}",
        place=Place(file=twin.entry, found=model_id),
        known=known,
    )


@dataclass(slots=True)
class _Family:
    """References of the same weights: the one that is read, those that wait, and how it ended if it is in the store."""

    first: ModelReference
    waiting: list[ModelReference] = field(default_factory=list)
    done: Outcome | None = None


class Twins:
    """Which of the listed models are read, and what becomes of the others of the same weights."""

    def __init__(self) -> None:
        self._families: dict[tuple[str, str], _Family] = {}
        self._waiting = 0

    @property
    def waiting(self) -> bool:
        """Whether a model waits for another one: it may yet have to be read."""
        return self._waiting > 0

    def first_of(self, reference: ModelReference) -> ModelReference:
        """Which of those of the same weights is read: ``reference``, or the one that came before it."""
        content = reference.content
        return reference if content is None else self._families.setdefault(content, _Family(reference)).first

    def sort_out(self, references: Iterable[ModelReference]) -> tuple[list[ModelReference], list[Outcome]]:
        """Those to be read now, and the outcomes of those whose weights this run has read; the others wait."""
        to_read, settled = [], []
        for reference in references:
            if self.first_of(reference) is reference or reference.content is None:
                to_read.append(reference)
                continue
            family = self._families[reference.content]
            if family.done is None:
                family.waiting.append(reference)
                self._waiting += 1
            else:
                settled.append(twin_outcome(reference, family.done.model_id, family.first.name))
        return to_read, settled

    def ended(self, outcome: Outcome) -> tuple[list[Outcome], list[ModelReference]]:
        """What follows from the outcome of one that was read: outcomes of those that waited, or the next to be read."""
        content = outcome.reference.content
        if content is None:
            return [], []
        family = self._families[content]
        if outcome.kind in (OutcomeKind.EXTRACTED, OutcomeKind.ALREADY_THERE):
            waiting, family.waiting, family.done = family.waiting, [], outcome
            self._waiting -= len(waiting)
            return [twin_outcome(twin, outcome.model_id, family.first.name) for twin in waiting], []
        if not family.waiting:
            del self._families[content]
            return [], []
        family.first = family.waiting.pop(0)
        self._waiting -= 1
        return [], [family.first]
