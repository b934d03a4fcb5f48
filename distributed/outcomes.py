"""What became of one listed model: the record that the actor returns and the driver reconciles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from distributed.errors import NOWHERE, Place
from distributed.references import ModelReference


class OutcomeKind(StrEnum):
    """The ends of a listed model: listed = extracted + already there + same content + skipped + failed."""

    EXTRACTED = "extracted"
    ALREADY_THERE = "already there"
    SAME_CONTENT = "same content"  # as another model of the listing
    SKIPPED = "skipped"
    FAILED = "failed"


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
        reason: ``SkipReason`` value or the error's class name (skipped, failed).
        message: one line for people.
        place: where in the input.
        retryable: the failure may pass by itself.
        attempts: tries so far.
        known: the outcome was recorded by an earlier run and nothing was tried in this one.
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
