"""The run: extract by actors what a listing brings, while it goes on; reconcile with the store, report."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain

from rich.console import Console

from distributed import logs, metrics
from distributed.arrivals import Arrivals
from distributed.dry_run import show_plan
from distributed.entry import FAILURES, OK
from distributed.errors import FilterShiftError, RetryableError, StoreError, UnusableStoreError
from distributed.hub import budget
from distributed.hub.catalogue import StoredCatalogue
from distributed.label_files import LabelFile, read_labels
from distributed.labels import label_changes, label_notes, labelled, same_content_told
from distributed.outcomes import Outcome, OutcomeKind
from distributed.plan import Planner
from distributed.progress import Totals, reporter_for
from distributed.recording import Recording
from distributed.references import ModelReference
from distributed.report import RunReport, print_labels, print_report
from distributed.run_record import RunRecord
from distributed.settings import ExtractionRun
from distributed.sources import stream_source
from distributed.sources.contents import Listing, not_read
from distributed.store import RejectKind, Store
from distributed.twins import Twins

logger = logging.getLogger(__name__)

LOG_WIDTH = 160

#: Seconds between two looks at a listing that has brought nothing to extract yet.
LISTING_POLL_SECONDS = 0.5


def extract(run: ExtractionRun) -> int:
    """List the source, extract what is not in the store yet, print the report; returns the exit code.

    Raises:
        UserError: the request can't be done (source, store or cluster).
    """
    if run.log is not logs.LogStyle.text:
        logs.begin(run.log)
    budget.use(None, run.hub)
    store = Store.open(run.store)
    catalogue = StoredCatalogue(store, writes=not run.extract.dry_run)
    return extract_parts(run, store, stream_source(run.source, catalogue))


def extract_parts(run: ExtractionRun, store: Store, parts: Iterator[Listing]) -> int:
    """``extract`` of a listing in parts: extraction begins with the first one that has something new.

    Where the listing ends with an error, what it brought before is extracted and reported first.
    """
    console = _console()
    labels = None if run.labels is None else read_labels(run.labels, store.settings)
    if labels is not None:
        parts = (labelled(part, labels) for part in parts)
    with Arrivals(_of_variant(part, run.extract.variant) for part in parts) as arrivals:
        planner = Planner(store, run.extract.retry, run.extract.non_finite)
        if run.extract.dry_run:
            show_plan(run, store, planner, arrivals, console, labels)
            if arrivals.error is not None:
                raise arrivals.error
            return OK
        record = RunRecord(store, run)
        report, error = run_listing(run, store, planner, arrivals, console, record)
    problems = [each for each in (error, arrivals.error) if each is not None]
    if not isinstance(error, UnusableStoreError | KeyboardInterrupt):
        try:
            report = _settled(run, report, store, console, labels)
            _reconcile(report, store)
        except FilterShiftError as unsettled:
            problems.append(unsettled)
    if report.listed or not problems:
        print_report(report, store.uri, console, not_read(arrivals.not_read))
    record.close(problems[0] if problems else None)
    for problem in problems[1:]:
        logger.error("error: %s", problem)
    if problems:
        raise problems[0]
    return OK if report.count(OutcomeKind.FAILED) <= run.extract.max_failures else FAILURES


def _of_variant(part: Listing, variant: str) -> Listing:
    return Listing([replace(each, variant=variant) for each in part.references], part.not_read)


def _console() -> Console:
    """Standard output; in a log, where there is no terminal to measure, lines of ``LOG_WIDTH`` characters."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = LOG_WIDTH
    return console


def run_listing(
    run: ExtractionRun, store: Store, planner: Planner, arrivals: Arrivals, console: Console, record: RunRecord
) -> tuple[RunReport, FilterShiftError | KeyboardInterrupt | None]:
    """Extract what arrives; every listed model has one outcome in the report. And what ended it early, if anything did.

    Skips and failures are recorded in the store as they happen, so that an interrupted run has lost nothing. Ray is
    there from the first model that is to be extracted.
    """
    started, ended_by = time.monotonic(), None
    totals = Totals(waiting=_waiting_for_the_hub if run.asks_hub else str)
    recording = Recording(store, record.run_id)
    work = _Work(planner, arrivals, recording, totals)
    try:
        with reporter_for(run.extract.progress, console, totals, run.log) as reporter, recording:
            arriving = iter(work)
            for first in arriving:
                record.keep_from(work)
                if first:
                    from distributed.workers import extracted  # and with it Ray: two seconds to import and start

                    store.prepare()
                    of_actors = extracted(chain([first], arriving), run, store, reporter, work.deaths)
                    with closing(of_actors) as outcomes:
                        for outcome in outcomes:
                            work.ended(outcome)
                else:
                    reporter.tick()
                    arrivals.wait(LISTING_POLL_SECONDS)
            record.keep_from(work)
    except (FilterShiftError, KeyboardInterrupt) as error:
        ended_by = error
        work.leave()
    return RunReport(tuple(work.outcomes), work.listed, time.monotonic() - started), ended_by


def _settled(
    run: ExtractionRun, report: RunReport, store: Store, console: Console, labels: LabelFile | None
) -> RunReport:
    """The report as the store completes it, once labels are told and rows kept for the next run.

    Raises:
        StoreError, RetryableError: the store can't be read, or not take the labels.
    """
    _keep_rows(store, report.outcomes)
    report = replace(report, outcomes=tuple(same_content_told(report.outcomes, store)))
    changes = label_changes(report.outcomes, store, labels)
    for change in changes:
        if run.extract.update_labels or change.is_new:
            store.relabel_model(change.model_id, change.values)
    there = [change for change in changes if not change.is_new]
    print_labels(there, console, label_notes(report.outcomes, labels), updated=run.extract.update_labels)
    return report


def _waiting_for_the_hub() -> str:
    waiting = budget.current().waiting()
    metrics.waits(hub=bool(waiting))
    return waiting


class _Work:
    """What is to be extracted, as it becomes known, and what became of everything listed.

    Attributes:
        outcomes: of those that have ended.
        deaths: ``reference_key`` → actors that died of the model in earlier runs.
    """

    def __init__(self, planner: Planner, arrivals: Arrivals, recording: Recording, totals: Totals) -> None:
        self._planner, self._arrivals, self._recording, self._totals = planner, arrivals, recording, totals
        self._twins = Twins()
        self._recorded: dict[str, tuple[RejectKind, ...]] = {}
        self._next: list[ModelReference] = []
        self._planned: list[ModelReference] = []
        self.deaths: dict[str, int] = {}
        self.outcomes: list[Outcome] = []

    @property
    def listed(self) -> int:
        """Models that the source has brought so far."""
        return len(self._planned)

    def __iter__(self) -> Iterator[list[ModelReference]]:
        """What has become known since the last time, at once; ends when nothing can come any more."""
        while True:
            is_last = self._arrivals.has_ended  # asked before the parts are taken
            for part in self._arrivals.take():
                self._plan(part.references)
            self._totals.listed, self._totals.is_listing = self.listed, not is_last
            if is_last and not self._next and not self._twins.waiting:
                return
            ready, self._next = self._next, []
            self._totals.models += len(ready)
            yield ready

    def ended(self, outcome: Outcome) -> None:
        """Keep the outcome of a model that was to be extracted, and what follows from it."""
        self._settle(outcome)
        settled, to_read = self._twins.ended(outcome)
        for twin in settled:
            self._settle(twin)
        self._next += to_read

    def leave(self) -> None:
        """What has no outcome yet gets none in this run."""
        ended = Counter(outcome.reference.reference_key for outcome in self.outcomes)
        for reference in self._planned:
            key = reference.reference_key
            if ended[key]:
                ended[key] -= 1
            else:
                self.outcomes.append(Outcome(reference, OutcomeKind.NOT_FINISHED))

    def _plan(self, references: list[ModelReference]) -> None:
        self._planned += references
        plan = self._planner.plan(references)
        self.deaths |= plan.deaths
        self._recorded |= plan.recorded
        to_read, twins = self._twins.sort_out(plan.to_extract)
        for outcome in (*plan.settled, *twins):
            self._settle(outcome)
        for key, kinds in plan.superseded.items():
            self._recording.forget(key, kinds)
        self._next += to_read

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        metrics.ended(outcome)
        self._recording.keep(outcome, self._recorded.get(outcome.reference.reference_key, ()))


def _keep_rows(store: Store, outcomes: Sequence[Outcome]) -> None:
    """Make the next run cheaper."""
    if any(outcome.kind is OutcomeKind.EXTRACTED for outcome in outcomes):
        try:
            store.keep_rows()
        except (RetryableError, StoreError) as error:
            logger.warning("the rows of the models are not kept together, later runs read them one by one: %s", error)


def _reconcile(report: RunReport, store: Store) -> None:
    """What the actors say they wrote must be in the store.

    Raises:
        StoreError: it isn't: someone removes files, or the store is not the one the actors write to.
    """
    written = (OutcomeKind.EXTRACTED, OutcomeKind.ALREADY_THERE, OutcomeKind.SAME_CONTENT)
    claimed = {o.model_id for o in report.outcomes if o.kind in written and not o.known}
    missing = sorted(str(model_id) for model_id in claimed - store.model_ids()) if claimed else []
    if missing:
        raise StoreError(
            f"{len(missing)} models were written but are not in {store.uri} (first: {missing[0]}): "
            "do all nodes see the same store?"
        )
