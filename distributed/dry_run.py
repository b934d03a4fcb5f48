"""What a run would do and cost, without running it: no weights are read, nothing is written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distributed.arrivals import Arrivals
from distributed.errors import FilterShiftError, in_one_line
from distributed.hub import budget
from distributed.hub.budget import RequestKind
from distributed.label_files import LabelFile
from distributed.labels import label_changes, label_notes
from distributed.outcomes import Outcome, OutcomeKind
from distributed.payload import NeedsWholeFileError, payload_of
from distributed.plan import Plan, Planner
from distributed.progress import PLAIN_INTERVAL, human_bytes
from distributed.references import ModelReference
from distributed.report import print_labels, say
from distributed.settings import ExtractionRun, PlanDetail
from distributed.sources.contents import not_read
from distributed.store import Store
from distributed.twins import Twins, twin_outcome

#: Models whose headers are read at a time.
THREADS = 8


def show_plan(
    run: ExtractionRun,
    store: Store,
    planner: Planner,
    arrivals: Arrivals,
    console: Console,
    labels: LabelFile | None = None,
) -> None:
    """Print what a run would do with each listed model, and what it would cost."""
    plan = _with_twins(planner.plan(_listed(arrivals, console)))
    if arrivals.error is not None and not plan.listed:
        return
    changes = label_changes(plan.settled, store, labels)
    listed = [*plan.settled, *(Outcome(each, OutcomeKind.EXTRACTED, each.pinned_model_id) for each in plan.to_extract)]
    print_labels(changes, console, label_notes(listed, labels), updated=False)
    payloads = _payloads(plan.to_extract, run) if run.extract.plan is PlanDetail.exact else None
    print_plan(plan, console, not_read(arrivals.not_read), payloads)


def _listed(arrivals: Arrivals, console: Console) -> list[ModelReference]:
    """Everything, once all has come; says now and then how far it is."""
    references: list[ModelReference] = []
    last = time.monotonic()
    while True:
        is_last = arrivals.has_ended
        for part in arrivals.take():
            references += part.references
        if is_last:
            return sorted(references, key=lambda each: each.name)
        arrivals.wait(PLAIN_INTERVAL)
        if time.monotonic() - last >= PLAIN_INTERVAL:
            last = time.monotonic()
            waiting = budget.current().waiting()
            say(f"{len(references)} models listed so far{waiting and f'; waiting: {waiting}'}", console)


def _with_twins(plan: Plan) -> Plan:
    """The plan with those that would wait for another of the same weights among the settled."""
    twins, to_extract, settled = Twins(), [], list(plan.settled)
    for reference in plan.to_extract:
        first = twins.first_of(reference)
        if first is reference:
            to_extract.append(reference)
        else:
            settled.append(twin_outcome(reference, None, first.name))
    return replace(plan, to_extract=tuple(to_extract), settled=tuple(settled))


def _payloads(references: Sequence[ModelReference], run: ExtractionRun) -> dict[str, int | str]:
    """``reference_key`` → bytes of 3x3 weights by the headers, or why they are not known."""

    def look(reference: ModelReference) -> int | str:
        try:
            return payload_of(reference, run)
        except NeedsWholeFileError:
            return "not known before all of it is read"
        except FilterShiftError as error:
            return str(error)

    threads = ThreadPoolExecutor(THREADS, "headers")
    try:
        found = list(threads.map(look, references))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return {each.reference_key: payload for each, payload in zip(references, found, strict=True)}


def print_plan(plan: Plan, console: Console, beside: str = "", payloads: Mapping[str, int | str] | None = None) -> None:
    """The plan as a table: every listed model, its size, and what would happen to it; then what lies beside them.

    Args:
        plan: what to show.
        console: where.
        beside: a line about other files.
        payloads: ``reference_key`` → bytes of 3x3 weights, or why they are not known; None: nobody has looked.
    """
    known = {outcome.reference.reference_key: outcome for outcome in plan.settled}
    table = Table(title="Plan (dry run: no weights read, nothing written)", title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("task", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    if payloads is not None:
        table.add_column("3x3", justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("plan", overflow="fold")
    for reference in plan.listed:
        payload = None if payloads is None else payloads.get(reference.reference_key)
        cells = [reference.name, reference.metadata.task or "–", human_bytes(reference.size)]
        if payloads is not None:
            cells.append(human_bytes(payload) if isinstance(payload, int) else "–")
        cells += [reference.entry, _what(known.get(reference.reference_key), payload)]
        # Names and messages are data: Text keeps rich from reading markup in them.
        table.add_row(*(Text(in_one_line(cell)) for cell in cells))
    console.print(table)
    if beside:
        say(beside, console)
    _print_cost(plan, console, payloads)
    counts = {kind: sum(o.kind is kind for o in plan.settled) for kind in OutcomeKind}
    same = counts[OutcomeKind.SAME_CONTENT]
    say(
        f"listed {len(plan.listed)} = to extract {len(plan.to_extract)} ({human_bytes(plan.size)}) "
        f"+ already there {counts[OutcomeKind.ALREADY_THERE]}{f' + same content {same}' if same else ''} "
        f"+ skipped {counts[OutcomeKind.SKIPPED]} + failed {counts[OutcomeKind.FAILED]}",
        console,
    )


def _what(outcome: Outcome | None, payload: int | str | None) -> str:
    if outcome is None:
        return f"extract: {payload}" if isinstance(payload, str) else "extract"
    return str(outcome.kind) if outcome.message is None else f"{outcome.kind}: {outcome.message}"


def _print_cost(plan: Plan, console: Console, payloads: Mapping[str, int | str] | None) -> None:
    """Of the models to extract: bytes that are needed of those in files, requests, and how long these take."""
    if payloads is not None:
        known = [each for each in plan.to_extract if isinstance(payloads[each.reference_key], int)]
        needed = sum(size for size in payloads.values() if isinstance(size, int))
        say(
            f"3x3 weights: {human_bytes(needed)} of {human_bytes(sum(each.size for each in known))} in the files of "
            f"{len(known)} models",
            console,
        )
    if remote := [each for each in plan.to_extract if each.revision is not None]:
        # A dry run keeps nothing: what the listing asked the run asks again.
        files = sum(len(each.files) + (each.config is not None) for each in remote)
        requests = budget.current()
        listing = requests.asked(RequestKind.api)
        seconds = max(
            requests.least_seconds(RequestKind.api, listing), requests.least_seconds(RequestKind.resolve, files)
        )
        say(
            f"requests to the Hub: {listing:,} to its API for the listing, {files:,} addresses of files, at least "
            f"{_duration(seconds)} by its budget; ranges are the CDN's, which is not counted",
            console,
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
