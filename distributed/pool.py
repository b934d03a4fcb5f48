"""A pool of extraction actors: largest models first, back-pressure by bytes, dead actors replaced, tries limited.

``ray.util.ActorPool`` loses the item and the slot of an actor that dies (measured, DESIGN §6); here the driver keeps
each item until an outcome for it has come back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from distributed.outcomes import Outcome, OutcomeKind
from distributed.progress import Reporter
from distributed.references import ModelReference

#: Seconds the driver waits for an outcome before it looks at retries and progress again.
POLL_SECONDS = 0.5
#: First wait before a retry; doubled with each further try, with jitter so that retries don't come in step.
FIRST_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """``actors`` at a time, ``max_bytes_in_flight`` bytes of checkpoints in all, ``max_attempts`` tries per model."""

    actors: int
    max_bytes_in_flight: int
    max_attempts: int


@dataclass(slots=True)
class _Work:
    """One model on its way: tries so far, and when it may be tried (monotonic seconds)."""

    reference: ModelReference
    attempts: int = 0
    not_before: float = 0.0


class ExtractionPool:
    """Runs references through actors and yields one outcome for each, exactly once, in the order they end.

    ``new_actor()`` starts an actor with a method ``extract.remote(reference) -> Outcome``.
    """

    def __init__(self, new_actor: Callable[[], Any], settings: PoolSettings, reporter: Reporter) -> None:
        self._new_actor, self._settings, self._reporter = new_actor, settings, reporter
        self._idle: list[Any] = []
        self._in_flight: dict[Any, tuple[Any, _Work]] = {}

    def run(self, references: Sequence[ModelReference]) -> Iterator[Outcome]:
        """One outcome per reference. Never raises for one model's sake."""
        waiting = sorted((_Work(r) for r in references), key=lambda w: w.reference.size, reverse=True)
        self._idle = [self._new_actor() for _ in range(min(self._settings.actors, len(waiting)))]
        try:
            while waiting or self._in_flight:
                self._hand_out(waiting)
                for work, outcome in self._collect():
                    if self._try_again(work, outcome):
                        waiting.append(work)
                    else:
                        self._reporter.finished(outcome)
                        yield outcome
                self._reporter.tick()
        finally:
            for actor in [*self._idle, *(actor for actor, _ in self._in_flight.values())]:
                ray.kill(actor)
            self._idle, self._in_flight = [], {}

    def _hand_out(self, waiting: list[_Work]) -> None:
        """Give idle actors the largest models that fit into the bytes left; one too large goes when it is alone."""
        in_flight = sum(work.reference.size for _, work in self._in_flight.values())
        now = time.monotonic()
        for work in list(waiting):
            if not self._idle:
                return
            fits = in_flight + work.reference.size <= self._settings.max_bytes_in_flight
            if work.not_before > now or not (fits or not self._in_flight):
                continue
            waiting.remove(work)
            actor = self._idle.pop()
            work.attempts += 1
            self._in_flight[actor.extract.remote(work.reference)] = (actor, work)
            in_flight += work.reference.size

    def _collect(self) -> list[tuple[_Work, Outcome]]:
        """The outcomes that have come in; waits at most ``POLL_SECONDS``."""
        if not self._in_flight:
            time.sleep(POLL_SECONDS / 10)
            return []
        done, _ = ray.wait(list(self._in_flight), num_returns=1, timeout=POLL_SECONDS)
        ended = []
        for ref in done:
            actor, work = self._in_flight.pop(ref)
            try:
                outcome: Outcome = ray.get(ref)
                self._idle.append(actor)
            except RayActorError as error:
                outcome = _lost(work, f"the actor died: {_first_line(error)}")
                self._idle.append(self._new_actor())
            except RayError as error:
                # Not an actor's death but, say, an outcome lost with its node: the actor may be gone as well.
                outcome = _lost(work, _first_line(error))
                ray.kill(actor)
                self._idle.append(self._new_actor())
            ended.append((work, replace(outcome, attempts=work.attempts)))
        return ended

    def _try_again(self, work: _Work, outcome: Outcome) -> bool:
        if outcome.kind is not OutcomeKind.FAILED or not outcome.retryable:
            return False
        if work.attempts >= self._settings.max_attempts:
            return False
        wait = min(FIRST_BACKOFF_SECONDS * 2 ** (work.attempts - 1), MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)
        work.not_before = time.monotonic() + wait
        self._reporter.retried(outcome, wait)
        return True


def _lost(work: _Work, message: str) -> Outcome:
    return Outcome(
        work.reference, OutcomeKind.FAILED, reason="ActorDied", message=message, retryable=True, attempts=work.attempts
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
