"""What a run would do with each listed model, decided without reading a byte of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from distributed.errors import Place, SkipReason, in_one_line
from distributed.outcomes import DEATHS, Outcome, OutcomeKind
from distributed.references import ModelReference, Problem
from distributed.settings import NonFinite, Retry
from distributed.store import ModelOrigin, Reject, RejectKind, Store
from distributed.twins import twin_outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """The listing, split.

    Attributes:
        listed: every reference of the source.
        to_extract: references whose weights are to be read.
        settled: outcomes known without reading: already there, or skipped or failed before and not to be retried.
        recorded: ``reference_key`` → the side tables that hold an older outcome, of the references that have any.
        superseded: the same of records to be removed: of a repository that could not be listed then, and now is.
        deaths: ``reference_key`` → actors that died of a model in earlier runs, of those to extract.
    """

    listed: tuple[ModelReference, ...]
    to_extract: tuple[ModelReference, ...]
    settled: tuple[Outcome, ...]
    recorded: Mapping[str, tuple[RejectKind, ...]] = field(default_factory=dict)
    superseded: Mapping[str, tuple[RejectKind, ...]] = field(default_factory=dict)
    deaths: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the checkpoints to read."""
        return sum(reference.size for reference in self.to_extract)


class Planner:
    """Splits a listing, part by part, by what the store knew when the run began.

    A recorded failure that may pass by itself is always tried again; other failures and skips only when ``retry`` says
    so, or when what they were refused for (NaN or infinite weights) may now be left out. A problem found while listing
    is an outcome at once: a skip (a gated repository), or a failure (a server that failed). Weights that the store has
    of another repository, by the Hub's own digest, are not read.
    """

    def __init__(self, store: Store, retry: Retry, non_finite: NonFinite = NonFinite.refuse) -> None:
        self._store, self._retry, self._non_finite = store, retry, non_finite
        self._model_ids = store.model_ids()
        self._rejects = {RejectKind.SKIP: store.skips(), RejectKind.FAILURE: store.failures()}
        self._unlisted: dict[tuple[str, str], dict[str, tuple[RejectKind, ...]]] = {}
        for kind, rejects in self._rejects.items():
            for key, reject in rejects.items():
                if reject.file is None:  # of a whole repository: once it can be listed its models have other keys
                    kinds = self._unlisted.setdefault((reject.source, reject.name), {})
                    kinds[key] = (*kinds.get(key, ()), kind)

    @cached_property
    def _by_key(self) -> dict[str, str]:
        """The keys are in the models' own files: read only where a model_id isn't known without reading."""
        return self._store.reference_keys() if self._model_ids else {}

    @cached_property
    def _by_content(self) -> Mapping[tuple[str, str], ModelOrigin]:
        """What the models of the Hub are of; in the models' own files, read only where something new is listed."""
        return self._store.hub_contents() if self._model_ids else {}

    def plan(self, references: Sequence[ModelReference]) -> Plan:
        """What is to be done with these."""
        to_extract: list[ModelReference] = []
        settled: list[Outcome] = []
        recorded: dict[str, tuple[RejectKind, ...]] = {}
        superseded: dict[str, tuple[RejectKind, ...]] = {}
        deaths: dict[str, int] = {}
        for reference in references:
            key = reference.reference_key
            if kinds := tuple(kind for kind, found in self._rejects.items() if key in found):
                recorded[key] = kinds
            superseded |= self._superseded(reference, key)
            outcome = self._there(reference) or self._known(reference, key) or self._twin(reference)
            if outcome is None:
                to_extract.append(reference)
                if dead := self._deaths(key):
                    deaths[key] = dead
            else:
                settled.append(outcome)
        return Plan(tuple(references), tuple(to_extract), tuple(settled), recorded, superseded, deaths)

    def _superseded(self, reference: ModelReference, key: str) -> dict[str, tuple[RejectKind, ...]]:
        """What is recorded of the repository as a whole: models of one that has several have its name and more."""
        if not self._unlisted:
            return {}
        parts = reference.name.split("/")
        names = ("/".join(parts[:number]) for number in range(1, len(parts) + 1))
        found = (self._unlisted.get((reference.source, name), {}) for name in names)
        return {old: kinds for each in found for old, kinds in each.items() if old != key}

    def _there(self, reference: ModelReference) -> Outcome | None:
        model_id = reference.pinned_model_id
        if model_id is None or model_id not in self._model_ids:
            # A reference that is pinned is never there under another id: its key is made of the same.
            model_id = self._by_key.get(reference.reference_key) if reference.revision is None else None
        if model_id is None or model_id not in self._model_ids:
            return None
        return Outcome(reference, OutcomeKind.ALREADY_THERE, model_id=model_id, known=True)

    def _known(self, reference: ModelReference, key: str) -> Outcome | None:
        """What the listing or an earlier run found, unless that is to be tried again."""
        skip, failure = (self._rejects[kind].get(key) for kind in (RejectKind.SKIP, RejectKind.FAILURE))
        if (problem := reference.problem) is not None:
            return _not_listed(reference, problem, skip)
        if skip is not None and skip.reason == SkipReason.DUPLICATE_OF:
            return _recorded(reference, OutcomeKind.SAME_CONTENT, skip) if skip.found in self._model_ids else None
        is_kept = self._retry not in (Retry.skipped, Retry.all)
        if skip is not None and is_kept and not _is_allowed_now(skip, self._non_finite):
            return _recorded(reference, OutcomeKind.SKIPPED, skip)
        if failure is not None and not failure.retryable and self._retry not in (Retry.failed, Retry.all):
            return _recorded(reference, OutcomeKind.FAILED, failure)
        return None

    def _deaths(self, key: str) -> int:
        """Asked for by ``retry``, a model starts anew."""
        failure = self._rejects[RejectKind.FAILURE].get(key)
        is_anew = self._retry in (Retry.failed, Retry.all)
        return 0 if failure is None or is_anew or failure.reason not in DEATHS else failure.attempts

    def _twin(self, reference: ModelReference) -> Outcome | None:
        content = reference.content
        there = None if content is None else self._by_content.get(content)
        if there is None:
            return None
        name = there.name if there.name != reference.name else f"{there.name}@{there.revision[:10]}"
        return twin_outcome(reference, there.model_id, name)


def _not_listed(reference: ModelReference, problem: Problem, recorded: Reject | None) -> Outcome:
    message = in_one_line(problem.message)
    if problem.reason not in set(SkipReason):
        kind = OutcomeKind.FAILED
        return Outcome(reference, kind, reason=problem.reason, message=message, retryable=problem.retryable)
    is_recorded = recorded is not None and (recorded.reason, recorded.message) == (problem.reason, message)
    return Outcome(reference, OutcomeKind.SKIPPED, reason=problem.reason, message=message, known=is_recorded)


def _is_allowed_now(skip: Reject, non_finite: NonFinite) -> bool:
    return skip.reason == SkipReason.NON_FINITE and non_finite is NonFinite.leave_out


def _recorded(reference: ModelReference, kind: OutcomeKind, record: Reject) -> Outcome:
    return Outcome(
        reference,
        kind,
        reason=record.reason,
        message=record.message,
        place=Place(record.file, record.tensor, record.expected, record.found),
        retryable=record.retryable,
        attempts=record.attempts,
        known=True,
    )
