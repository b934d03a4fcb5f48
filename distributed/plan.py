"""What a run would do with each listed model, decided without reading a byte of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distributed.errors import Place, SkipReason, in_one_line
from distributed.outcomes import Outcome, OutcomeKind
from distributed.progress import human_bytes
from distributed.references import ModelReference, Problem
from distributed.settings import NonFinite, Retry
from distributed.store import Reject, RejectKind, Store


@dataclass(frozen=True, slots=True)
class Plan:
    """The listing, split.

    Attributes:
        listed: every reference of the source.
        to_extract: references whose weights are to be read.
        settled: outcomes known without reading: already there, or skipped or failed before and not to be retried.
        recorded: ``reference_key`` → the side tables that hold an older outcome, of the references that have any.
        superseded: the same of records to be removed: of a repository that could not be listed then, and now is.
    """

    listed: tuple[ModelReference, ...]
    to_extract: tuple[ModelReference, ...]
    settled: tuple[Outcome, ...]
    recorded: Mapping[str, tuple[RejectKind, ...]] = field(default_factory=dict)
    superseded: Mapping[str, tuple[RejectKind, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the checkpoints to read."""
        return sum(reference.size for reference in self.to_extract)


def make_plan(
    references: Sequence[ModelReference], store: Store, retry: Retry, non_finite: NonFinite = NonFinite.refuse
) -> Plan:
    """Split ``references`` by what the store already knows of them.

    A recorded failure that may pass by itself is always tried again; other failures and skips only when ``retry`` says
    so, or when what they were refused for (NaN or infinite weights) may now be left out. A problem found while listing
    is an outcome at once: a skip (a gated repository), or a failure (a server that failed).
    """
    model_ids = store.model_ids()
    # The keys are in the models' own files: read them only where a reference's model_id isn't known without reading.
    by_key = store.reference_keys() if any(r.pinned_model_id is None for r in references) else {}
    skips, failures = store.skips(), store.failures()
    to_extract: list[ModelReference] = []
    settled: list[Outcome] = []
    for reference in references:
        key = reference.reference_key
        model_id = reference.pinned_model_id
        if model_id is None or model_id not in model_ids:
            model_id = by_key.get(key)
        if model_id is not None and model_id in model_ids:
            settled.append(Outcome(reference, OutcomeKind.ALREADY_THERE, model_id=model_id, known=True))
        elif reference.problem is not None:
            settled.append(_not_listed(reference, reference.problem, skips.get(key)))
        elif key in skips and retry not in (Retry.skipped, Retry.all) and not _is_allowed_now(skips[key], non_finite):
            settled.append(_recorded(reference, OutcomeKind.SKIPPED, skips[key]))
        elif key in failures and not failures[key].retryable and retry not in (Retry.failed, Retry.all):
            settled.append(_recorded(reference, OutcomeKind.FAILED, failures[key]))
        else:
            to_extract.append(reference)
    rejects = {RejectKind.SKIP: skips, RejectKind.FAILURE: failures}
    recorded = {
        key: kinds
        for key in (reference.reference_key for reference in references)
        if (kinds := tuple(kind for kind, found in rejects.items() if key in found))
    }
    return Plan(tuple(references), tuple(to_extract), tuple(settled), recorded, _superseded(references, rejects))


def _not_listed(reference: ModelReference, problem: Problem, recorded: Reject | None) -> Outcome:
    message = in_one_line(problem.message)
    if problem.reason not in set(SkipReason):
        kind = OutcomeKind.FAILED
        return Outcome(reference, kind, reason=problem.reason, message=message, retryable=problem.retryable)
    is_recorded = recorded is not None and (recorded.reason, recorded.message) == (problem.reason, message)
    return Outcome(reference, OutcomeKind.SKIPPED, reason=problem.reason, message=message, known=is_recorded)


def _superseded(
    references: Sequence[ModelReference], rejects: Mapping[RejectKind, Mapping[str, Reject]]
) -> dict[str, tuple[RejectKind, ...]]:
    """Keys of records that a repository could not be listed, of repositories that now are (under other keys)."""
    keys = {reference.reference_key for reference in references}
    names: dict[tuple[str, str], set[str]] = {}
    for reference in references:
        names.setdefault((reference.source, reference.root), set()).add(reference.name)
    found: dict[str, tuple[RejectKind, ...]] = {}
    for kind, records in rejects.items():
        for key, record in records.items():
            now = names.get((record.source, record.uri), ()) if record.file is None and key not in keys else ()
            if any(name == record.name or name.startswith(f"{record.name}/") for name in now):
                found[key] = (*found.get(key, ()), kind)
    return found


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


def print_plan(plan: Plan, console: Console, beside: str = "") -> None:
    """The plan as a table: every listed model, its size, and what would happen to it; then what lies beside them."""
    known = {outcome.reference.reference_key: outcome for outcome in plan.settled}
    table = Table(title="Plan (dry run: no weights read, nothing written)", title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("task", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("plan", overflow="fold")
    for reference in plan.listed:
        outcome = known.get(reference.reference_key)
        if outcome is None:
            what = "extract"
        elif outcome.message is None:
            what = str(outcome.kind)
        else:
            what = f"{outcome.kind}: {outcome.message}"
        # Names and messages are data: Text keeps rich from reading markup in them.
        cells = [reference.name, reference.metadata.task or "–", human_bytes(reference.size), reference.entry, what]
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if beside:
        console.print(beside, soft_wrap=True, highlight=False, markup=False)
    counts = {kind: sum(o.kind is kind for o in plan.settled) for kind in OutcomeKind}
    console.print(
        f"listed {len(plan.listed)} = to extract {len(plan.to_extract)} ({human_bytes(plan.size)}) "
        f"+ already there {counts[OutcomeKind.ALREADY_THERE]} + skipped {counts[OutcomeKind.SKIPPED]} "
        f"+ failed {counts[OutcomeKind.FAILED]}",
        soft_wrap=True,
        highlight=False,
    )
