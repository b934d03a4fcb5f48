"""A pool of extraction actors: largest models first, back-pressure by bytes, dead actors replaced, tries limited.

Work may still come while it goes on: the largest of what is known goes first.

Ray's own pools, measured with Ray 2.60 on two CPUs: ``ray.util.ActorPool`` loses the item and the slot of an actor that
dies. Ray Data's ``map_batches`` with an autoscaling pool of actors waits for ever, without a word, where none can be
placed. It tries the item of a killed actor again, but without end (nine deaths in a minute, and another item never
came). It takes no generator: a listing can't come as a stream. And it has no setting for the bytes that models in work
hold, nor for trying a node first and leaving it out. Here the driver keeps each item until an outcome for it has come
back.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from distributed import metrics
from distributed.crew import Crew, Member, cause_of, is_death, is_loss_of_node
from distributed.errors import UnusableStoreError, first_line
from distributed.outcomes import DEATHS, MEMORY_ADVICE, FailureReason, Outcome, OutcomeKind
from distributed.progress import Reporter
from distributed.references import ModelReference
from distributed.rooms import Need

logger = logging.getLogger(__name__)

#: Seconds the driver waits for an outcome before it looks at retries and progress again.
POLL_SECONDS = 0.5
#: First wait before a retry; doubled with each further try, with jitter so that retries don't come in step.
FIRST_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0
#: An actor that works on a model of at most so many bytes gets the next one already, if that is as small: what takes
#: milliseconds would wait as long again for the driver's answer.
SMALL_BYTES = 4 * 1024**2
#: But only while so many models an actor wait: near the end others would have nothing to do.
PLENTY = 8


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many actors, of what size, and how much at a time.

    Attributes:
        actors: at a time; None: as many as there is room for.
        need: what Ray reserves for each.
        wait: seconds that a run without any actor waits for room.
        max_bytes_in_flight: bytes held in all.
        max_attempts: tries per model in this run; deaths of actors per model in all runs.
    """

    actors: int | None
    need: Need
    wait: float
    max_bytes_in_flight: int
    max_attempts: int


@dataclass(slots=True)
class _Work:
    """One model on its way: bytes it will hold, tries and deaths so far, when it may be tried (monotonic seconds)."""

    reference: ModelReference
    held: int
    deaths: int = 0
    attempts: int = 0
    not_before: float = 0.0


class ExtractionPool:
    """Runs references through actors and yields one outcome for each, exactly once, in the order they end.

    ``new_actor(but)`` gives an actor on none of the nodes with those ids, with ``where.remote() -> str``, the id of its
    node, ``start.remote(is_first) -> NotReady | None``, which says what keeps its node from the work, and
    ``extract.remote(reference, attempt) -> Outcome``. Only what has started gets a model (see ``Crew``): a node
    that can't do the work costs no model a try.
    """

    def __init__(self, new_actor: Callable[[Collection[str]], Any], settings: PoolSettings, reporter: Reporter) -> None:
        self._settings, self._reporter = settings, reporter
        self._crew = Crew(new_actor, settings.need, settings.actors, settings.wait)
        self._in_flight: dict[Any, tuple[Member, _Work]] = {}
        self._store_error: UnusableStoreError | None = None

    def run(
        self, arriving: Iterable[Sequence[ModelReference]], deaths: Mapping[str, int] | None = None
    ) -> Iterator[Outcome]:
        """One outcome per reference. Never raises for one model's sake.

        Args:
            arriving: asked at least every ``POLL_SECONDS``, gives at once what has become known since, be it nothing.
            deaths: ``reference_key`` → actors that died of the model in earlier runs; may grow with what arrives.

        Raises:
            ClusterError: no node can do the work, or none has room.
            UnusableStoreError: nobody can read or write the store. Models without an outcome have not failed.
        """
        source, waiting = iter(arriving), list[_Work]()
        more: Sequence[ModelReference] | None = ()
        try:
            while more is not None or waiting or self._in_flight:
                more = None if more is None else next(source, None)
                if more:
                    waiting += (
                        _Work(each, each.held_bytes, deaths.get(each.reference_key, 0) if deaths else 0)
                        for each in more
                    )
                    waiting.sort(key=lambda work: work.reference.size, reverse=True)
                self._crew.keep(len(waiting), len(self._busy))
                self._hand_out(waiting)
                metrics.waits(models=len(waiting), actors=self._crew.coming)
                for work, outcome in self._collect():
                    if outcome is None or self._try_again(work, outcome):
                        waiting.append(work)
                    else:
                        self._reporter.finished(outcome)
                        yield outcome
                if self._store_error is not None:
                    raise self._store_error
                self._reporter.tick(self._crew.waiting())
        finally:
            for member in self._busy:
                ray.kill(member.handle)
            self._in_flight = {}
            self._crew.end()

    @property
    def _busy(self) -> dict[Member, list[_Work]]:
        """Those that have models, and which, in the order they take them."""
        busy: dict[Member, list[_Work]] = {}
        for member, work in self._in_flight.values():
            busy.setdefault(member, []).append(work)
        return busy

    def _hand_out(self, waiting: list[_Work]) -> None:
        """Give idle actors the largest models that fit into the bytes left; one too large goes when it is alone."""
        in_flight = sum(work.held for _, work in self._in_flight.values())
        now = time.monotonic()
        for work in list(waiting):
            fits = in_flight + work.held <= self._settings.max_bytes_in_flight
            if work.not_before > now or not (fits or not self._in_flight):
                continue
            member = self._crew.take() or self._soon_free(work, len(waiting))
            if member is None:
                return
            waiting.remove(work)
            work.attempts += 1
            self._in_flight[member.handle.extract.remote(work.reference, work.attempts)] = (member, work)
            in_flight += work.held

    def _soon_free(self, work: _Work, waiting: int) -> Member | None:
        """One that will be done with its only model in a moment, for another such."""
        busy = self._busy
        if work.held > SMALL_BYTES or waiting < PLENTY * len(busy):
            return None
        return next((each for each, works in busy.items() if len(works) == 1 and works[0].held <= SMALL_BYTES), None)

    def _collect(self) -> list[tuple[_Work, Outcome | None]]:
        """The outcomes that have come in; None of what was never begun. Waits at most ``POLL_SECONDS``."""
        pending = [*self._in_flight, *self._crew.pending]
        if not pending:
            time.sleep(POLL_SECONDS / 10)
            return []
        done, _ = ray.wait(pending, num_returns=1, timeout=POLL_SECONDS)
        ended = list[tuple[_Work, Outcome | None]]()
        for ref in done:
            if ref in self._in_flight:
                ended += self._answered(ref)
            else:
                self._crew.answered(ref)
        return ended

    def _answered(self, ref: Any) -> list[tuple[_Work, Outcome | None]]:
        """What has become of a call, and where its actor is lost for it, of those behind it too."""
        member, work = self._in_flight[ref]
        try:
            outcome: Outcome = ray.get(ref)
        except RayError:
            ray.kill(member.handle)
            return self._left_by(member)
        del self._in_flight[ref]
        if member not in self._busy:
            self._crew.free(member)
        return [(work, self._completed(outcome, member, work))]

    def _left_by(self, member: Member) -> list[tuple[_Work, Outcome | None]]:
        """What has become of the models of a lost actor: it died of the first that it has not answered."""
        mine = [(ref, work) for ref, (each, work) in self._in_flight.items() if each is member]
        ended, has_died = list[tuple[_Work, Outcome | None]](), False
        for ref, work in mine:
            del self._in_flight[ref]
            if has_died:
                work.attempts -= 1
                ended.append((work, None))
                continue
            try:
                outcome: Outcome = ray.get(ref)
            except RayError as error:
                has_died = True
                if isinstance(error, RayTaskError) and isinstance(error.cause, UnusableStoreError):
                    self._store_error = error.cause
                    continue
                outcome = _lost(work.reference, error, with_node=is_loss_of_node(error) or self._crew.has_lost(member))
            ended.append((work, self._completed(outcome, member, work)))
        return ended

    def _completed(self, outcome: Outcome, member: Member, work: _Work) -> Outcome:
        """With how often and where it was tried."""
        work.deaths += outcome.reason in DEATHS
        attempts = work.deaths if outcome.reason in DEATHS else work.attempts
        return self._judged(work, replace(outcome, attempts=attempts, node=self._crew.node_name(member)))

    def _judged(self, work: _Work, outcome: Outcome) -> Outcome:
        """The outcome, for good where too many actors have died of the model, in this run and earlier ones."""
        if outcome.reason not in DEATHS or work.deaths < self._settings.max_attempts:
            return outcome
        by_memory = outcome.reason == FailureReason.OUT_OF_MEMORY
        message = f"quarantined, tried again only with extract.retry=failed: {outcome.message} ({work.deaths} times)"
        reason = FailureReason.OUT_OF_MEMORY if by_memory else FailureReason.QUARANTINED
        return replace(outcome, reason=str(reason), message=message, retryable=False)

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


def _lost(reference: ModelReference, error: RayError, *, with_node: bool) -> Outcome:
    """What is known of a model whose actor has not answered."""
    if isinstance(error, OutOfMemoryError):
        reason, message = FailureReason.OUT_OF_MEMORY, cause_of(error)
    elif with_node:
        reason, message = FailureReason.NODE_LOST, "the actor died with its node"
    elif is_death(error):
        reason = FailureReason.ACTOR_DIED
        message = f"the actor died while it read this model; if the system killed it for memory, {MEMORY_ADVICE}"
    else:  # an outcome lost with its node, say
        reason, message = FailureReason.NODE_LOST, first_line(error)
    return Outcome(reference, OutcomeKind.FAILED, reason=str(reason), message=message, retryable=True)
