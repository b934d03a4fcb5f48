"""A pool of extraction actors: largest models first, back-pressure by bytes, dead actors replaced, tries limited.

Work may still come while it goes on: the largest of what is known goes first.

``ray.util.ActorPool`` loses the item and the slot of an actor that dies (measured, DESIGN §6); here the driver keeps
each item until an outcome for it has come back.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from distributed import metrics
from distributed.errors import ClusterError
from distributed.outcomes import Outcome, OutcomeKind
from distributed.progress import Reporter
from distributed.references import ModelReference

logger = logging.getLogger(__name__)

#: So many starts in a row must fail, and as many as there are actors, before the run ends: one node may be ill.
LEAST_STARTS = 3
#: Seconds the driver waits for an outcome before it looks at retries and progress again.
POLL_SECONDS = 0.5
#: First wait before a retry; doubled with each further try, with jitter so that retries don't come in step.
FIRST_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """``actors`` at a time, ``max_bytes_in_flight`` bytes held in all, ``max_attempts`` tries per model."""

    actors: int
    max_bytes_in_flight: int
    max_attempts: int


@dataclass(slots=True)
class _Work:
    """One model on its way: bytes it will hold, tries so far, and when it may be tried (monotonic seconds)."""

    reference: ModelReference
    held: int
    attempts: int = 0
    not_before: float = 0.0


class ExtractionPool:
    """Runs references through actors and yields one outcome for each, exactly once, in the order they end.

    ``new_actor()`` gives an actor with ``start.remote() -> str | None``, which says what keeps its node from the work,
    and ``extract.remote(reference, attempt) -> Outcome``. A handle exists long before its process: only what
    has started gets a model, so that a node that can't do the work costs no model a try.
    """

    def __init__(self, new_actor: Callable[[], Any], settings: PoolSettings, reporter: Reporter) -> None:
        self._new_actor, self._settings, self._reporter = new_actor, settings, reporter
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._in_flight: dict[Any, tuple[Any, _Work]] = {}
        self._failed_starts: list[str] = []  # why, since one went well

    def run(self, arriving: Iterable[Sequence[ModelReference]]) -> Iterator[Outcome]:
        """One outcome per reference. Never raises for one model's sake.

        Args:
            arriving: asked at least every ``POLL_SECONDS``, gives at once what has become known since, be it nothing.

        Raises:
            ClusterError: no actor is left, and as many as the pool holds have failed to start, one after the other.
        """
        source, waiting = iter(arriving), list[_Work]()
        more: Sequence[ModelReference] | None = ()
        try:
            while more is not None or waiting or self._in_flight:
                more = None if more is None else next(source, None)
                if more:
                    waiting += (_Work(reference, reference.held_bytes) for reference in more)
                    waiting.sort(key=lambda work: work.reference.size, reverse=True)
                self._start_actors(len(waiting))
                self._hand_out(waiting)
                metrics.waits(models=len(waiting), actors=len(self._starting))
                for work, outcome in self._collect():
                    if self._try_again(work, outcome):
                        waiting.append(work)
                    else:
                        self._reporter.finished(outcome)
                        yield outcome
                self._reporter.tick()
            self._tell_failed_starts()
        finally:
            for actor in [*self._starting.values(), *self._idle, *(actor for actor, _ in self._in_flight.values())]:
                ray.kill(actor)
            self._starting, self._idle, self._in_flight = {}, [], {}

    def _start_actors(self, waiting: int) -> None:
        """As many as there is work for, up to the pool's size, unless it is plain that none will start."""
        there = len(self._starting) + len(self._idle) + len(self._in_flight)
        wanted = min(self._settings.actors, waiting + len(self._in_flight))
        if len(self._failed_starts) < self._most_failed_starts:
            for _ in range(wanted - there):
                actor = self._new_actor()
                self._starting[actor.start.remote()] = actor
        elif waiting and not there:
            raise ClusterError(f"none of {len(self._failed_starts)} actors could start: {self._failed_starts[-1]}")

    @property
    def _most_failed_starts(self) -> int:
        return max(LEAST_STARTS, self._settings.actors)

    def _started(self, started: Any) -> None:
        """An actor is ready, or has failed."""
        actor = self._starting.pop(started)
        try:
            problem: str | None = ray.get(started)
        except RayError as error:
            problem = _cause(error)
        if problem is None:
            self._tell_failed_starts()
            self._idle.append(actor)
            return
        ray.kill(actor)
        self._failed_starts.append(problem)

    def _tell_failed_starts(self) -> None:
        if self._failed_starts:
            number, last = len(self._failed_starts), self._failed_starts[-1]
            logger.warning("%d actors could not start (the work went to others): %s", number, last)
            self._failed_starts = []

    def _hand_out(self, waiting: list[_Work]) -> None:
        """Give idle actors the largest models that fit into the bytes left; one too large goes when it is alone."""
        in_flight = sum(work.held for _, work in self._in_flight.values())
        now = time.monotonic()
        for work in list(waiting):
            if not self._idle:
                return
            fits = in_flight + work.held <= self._settings.max_bytes_in_flight
            if work.not_before > now or not (fits or not self._in_flight):
                continue
            waiting.remove(work)
            actor = self._idle.pop()
            work.attempts += 1
            self._in_flight[actor.extract.remote(work.reference, work.attempts)] = (actor, work)
            in_flight += work.held

    def _collect(self) -> list[tuple[_Work, Outcome]]:
        """The outcomes that have come in; waits at most ``POLL_SECONDS``."""
        if not (self._in_flight or self._starting):
            time.sleep(POLL_SECONDS / 10)
            return []
        done, _ = ray.wait([*self._in_flight, *self._starting], num_returns=1, timeout=POLL_SECONDS)
        ended = []
        for ref in done:
            if ref in self._starting:
                self._started(ref)
                continue
            actor, work = self._in_flight.pop(ref)
            try:
                outcome: Outcome = ray.get(ref)
                self._idle.append(actor)
            except RayActorError as error:
                outcome = _lost(work, f"the actor died: {_first_line(error)}")
                self._tell_failed_starts()  # and try whether others can take its place
            except RayError as error:
                # Not an actor's death but, say, an outcome lost with its node: the actor may be gone as well.
                outcome = _lost(work, _first_line(error))
                ray.kill(actor)
                self._tell_failed_starts()
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
        metrics.retried(outcome)
        return True


def _lost(work: _Work, message: str) -> Outcome:
    return Outcome(
        work.reference, OutcomeKind.FAILED, reason="ActorDied", message=message, retryable=True, attempts=work.attempts
    )


def _cause(error: RayError) -> str:
    """The line of an actor's death that names the exception behind it; the first where none does."""
    named = re.findall(r"^[\w.]*(?:Error|Exception|Exit|Interrupt): .*", str(error), re.MULTILINE)
    return named[-1] if named else _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
