"""What became of one listed model: the record that the actor returns and the driver reconciles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from distributed.errors import NOWHERE, Place
from distributed.references import ModelReference


class OutcomeKind(StrEnum):
    """The ends of a listed model: listed = extracted + already there + same content + skipped + failed.

    Where a run ends early, the rest is not finished: nothing is known of it, and nothing recorded.
    """

    EXTRACTED = "extracted"
    ALREADY_THERE = "already there"
    SAME_CONTENT = "same content"  # as another model of the listing
    SKIPPED = "skipped"
    FAILED = "failed"
    NOT_FINISHED = "not finished"


class FailureReason(StrEnum):
    """Why a model failed, where it is not the class name of an error."""

    ACTOR_DIED = "ActorDied"
    NODE_LOST = "NodeLost"
    OUT_OF_MEMORY = "OutOfMemory"
    QUARANTINED = "quarantined"


#: What a model is to blame for: it is left alone once it has done so often enough, in all runs together.
DEATHS = frozenset({FailureReason.ACTOR_DIED, FailureReason.OUT_OF_MEMORY})

#: What to do where memory was not enough for a model.
MEMORY_ADVICE = "let fewer actors share a node: cluster.memory=<bytes an actor needs>, or fewer cluster.actors"


@dataclass(frozen=True, slots=True)
class NotReady:
    """What keeps an actor from the work where it is, in one line.

    Attributes:
        message: the cause, and what to do.
        may_pass: by itself: another try is worth it.
    """

    message: str
    may_pass: bool = False

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reference.

    Attributes:
        reference: the model.
        kind: how it ended.
        model_id: of the model in the store (extracted, already there).
        filters: 3x3 filters written.
        layers: 3x3 layers written.
        bytes_read: of checkpoint files, in this run.
        reason: ``SkipReason`` or ``FailureReason``, or the error's class name (skipped, failed).
        message: one line for people.
        place: where in the input.
        retryable: the failure may pass by itself.
        attempts: tries in this run; of a model that kills actors, the deaths in all runs.
        known: the outcome was recorded by an earlier run and nothing was tried in this one.
        node: on which the last try was made.
    """

    reference: ModelReference
    kind: OutcomeKind
    model_id: str | None = None
    filters: int = 0
    layers: int = 0
    bytes_read: int = 0
    reason: str | None = None
    message: str | None = None
    place: Place = NOWHERE
    retryable: bool = False
    attempts: int = 1
    known: bool = False
    node: str | None = None
