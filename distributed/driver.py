"""The run: list, plan, extract by actors, reconcile with the store, report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import ray
from rich.console import Console

from distributed import __version__
from distributed.actor import ExtractionActor
from distributed.cluster import connected
from distributed.entry import FAILURES, OK
from distributed.environment import environment_for_workers
from distributed.errors import RetryableError, StoreError
from distributed.hub import budget
from distributed.hub.shared_budget import shared
from distributed.labels import label_changes, same_content_told
from distributed.outcomes import Outcome, OutcomeKind
from distributed.plan import Plan, make_plan, print_plan
from distributed.pool import ExtractionPool, PoolSettings
from distributed.progress import Totals, reporter_for
from distributed.references import ModelReference
from distributed.report import RunReport, print_labels, print_report
from distributed.settings import ClusterSettings, ExtractionRun
from distributed.sources import list_source
from distributed.sources.contents import not_read
from distributed.store import Reject, Store

logger = logging.getLogger(__name__)

LOG_WIDTH = 160

#: Outcomes known from the listing are recorded so many at a time: a bucket answers each after some 50 ms.
RECORDERS = 8


def extract(run: ExtractionRun) -> int:
    """List the source, extract what is not in the store yet, print the report; returns the exit code.

    Raises:
        UserError: the request can't be done (source, store or cluster).
    """
    console = _console()
    budget.use(None, run.hub)
    store = Store.open(run.store)
    listing = list_source(run.source)
    references = [replace(r, variant=run.extract.variant) for r in listing.references]
    plan = make_plan(references, store, run.extract.retry, run.extract.non_finite)
    if run.extract.dry_run:
        print_labels(label_changes(plan.settled, store), console, updated=False)
        print_plan(plan, console, not_read(listing.not_read))
        return OK
    report = run_plan(plan, run, store, console)
    changes = label_changes(report.outcomes, store)
    if run.extract.update_labels:
        for change in changes:
            store.relabel_model(change.model_id, change.values)
    print_labels(changes, console, updated=run.extract.update_labels)
    print_report(report, store.uri, console, not_read(listing.not_read))
    return OK if report.count(OutcomeKind.FAILED) <= run.extract.max_failures else FAILURES


def _console() -> Console:
    """Standard output; in a log, where there is no terminal to measure, lines of ``LOG_WIDTH`` characters."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = LOG_WIDTH
    return console


def run_plan(plan: Plan, run: ExtractionRun, store: Store, console: Console) -> RunReport:
    """Extract the plan's models; every listed model has one outcome in the report.

    Skips and failures are recorded in the store as they happen, so that an interrupted run has lost nothing.
    """
    started = time.monotonic()
    outcomes = list(plan.settled)
    with ThreadPoolExecutor(RECORDERS, "record") as threads:
        list(threads.map(lambda outcome: record(outcome, store, plan), (o for o in plan.settled if not o.known)))
    _forget(plan, store)
    if plan.to_extract:
        store.prepare()
        with (
            connected(run.cluster),
            shared() if run.source.kind in ("hub", "timm") else nullcontext() as requests,
            reporter_for(run.extract.progress, console, Totals(len(plan.to_extract))) as reporter,
        ):
            settings = PoolSettings(
                actors=_number_of_actors(run.cluster, len(plan.to_extract)),
                max_bytes_in_flight=run.extract.max_bytes_in_flight,
                max_attempts=run.extract.max_attempts,
            )
            pool = ExtractionPool(lambda: _new_actor(run, store, requests), settings, reporter)
            for outcome in pool.run(plan.to_extract):
                record(outcome, store, plan)
                outcomes.append(outcome)
        _reconcile(outcomes, store)
    return RunReport(tuple(same_content_told(outcomes, store)), len(plan.listed), time.monotonic() - started)


def _new_actor(run: ExtractionRun, store: Store, requests: Any) -> Any:
    cluster = run.cluster
    options = {"num_cpus": cluster.num_cpus, "num_gpus": cluster.num_gpus, "max_restarts": 0}
    if cluster.memory is not None:
        options["memory"] = cluster.memory
    actor = ray.remote(ExtractionActor).options(**options)
    device = "cuda" if cluster.num_gpus else "cpu"
    return actor.remote(
        store.settings, run.extract, int(cluster.num_cpus), device, environment_for_workers(), run.hub, requests
    )


def _number_of_actors(cluster: ClusterSettings, models: int) -> int:
    """As asked, or as many as the cluster's CPUs and GPUs hold; never more than models."""
    if cluster.actors is not None:
        return max(1, min(cluster.actors, models))
    resources = ray.cluster_resources()
    rooms = [resources.get("CPU", 1.0) / cluster.num_cpus] if cluster.num_cpus else []
    if cluster.num_gpus:
        rooms.append(resources.get("GPU", 0.0) / cluster.num_gpus)
    fitting = int(min(rooms, default=1.0))
    if fitting < 1:
        logger.warning(
            "no node has room for an actor of %s CPUs and %s GPUs yet: waiting for one",
            cluster.num_cpus,
            cluster.num_gpus,
        )
    return max(1, min(fitting, models))


def record(outcome: Outcome, store: Store, plan: Plan) -> None:
    """Keep a skip or a failure in the store; forget an older one once the model is extracted.

    The plan knows which older ones there are: a model without any costs no request.

    A store that can't take the record (full, gone) doesn't end the run: the outcome is still reported, and the next run
    tries the model again.
    """
    key = outcome.reference.reference_key
    before = plan.recorded.get(key, ())
    try:
        if outcome.kind is OutcomeKind.SKIPPED:
            store.write_skip(reject_of(outcome), before)
        elif outcome.kind is OutcomeKind.FAILED:
            store.write_failure(reject_of(outcome), before)
        else:
            store.clear_reject(key, before)
    except (RetryableError, StoreError) as error:
        logger.warning("%s: the outcome %r is not recorded: %s", outcome.reference.name, str(outcome.kind), error)


def _forget(plan: Plan, store: Store) -> None:
    """Remove the records of repositories that could not be listed, and now are; see ``record`` for what may fail."""
    for key, kinds in plan.superseded.items():
        try:
            store.clear_reject(key, kinds)
        except (RetryableError, StoreError) as error:
            logger.warning("%s: an older record stays: %s", key, error)


def reject_of(outcome: Outcome) -> Reject:
    """The side-table row of a skipped or failed outcome."""
    reference: ModelReference = outcome.reference
    return Reject(
        reference_key=reference.reference_key,
        name=reference.name,
        source=reference.source,
        uri=reference.root,
        revision=reference.revision,
        file=outcome.place.file or reference.entry or None,
        reason=outcome.reason or "unknown",
        message=outcome.message or "",
        tensor=outcome.place.tensor,
        expected=outcome.place.expected,
        found=outcome.place.found,
        retryable=outcome.retryable,
        attempts=outcome.attempts,
        recorded_at=datetime.now(UTC),
        tool_version=__version__,
    )


def _reconcile(outcomes: Sequence[Outcome], store: Store) -> None:
    """What the actors say they wrote must be in the store.

    Raises:
        StoreError: it isn't: someone removes files, or the store is not the one the actors write to.
    """
    there = store.model_ids()
    claimed = {o.model_id for o in outcomes if o.kind in (OutcomeKind.EXTRACTED, OutcomeKind.ALREADY_THERE)}
    missing = sorted(str(model_id) for model_id in claimed - there)
    if missing:
        raise StoreError(
            f"{len(missing)} models were written but are not in {store.uri} (first: {missing[0]}): "
            "do all nodes see the same store?"
        )
