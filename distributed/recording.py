"""What the store keeps of models that were not extracted, and why, written while the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from distributed import __version__
from distributed.errors import ClusterError, RetryableError, StoreError, in_one_line
from distributed.logs import fields_of
from distributed.outcomes import Outcome, OutcomeKind
from distributed.store import Reject, RejectKind, Store

logger = logging.getLogger(__name__)

#: Records written at a time: a bucket answers each after some 50 ms.
THREADS = 8


class Recording:
    """Keeps outcomes in the store, by threads. As a context it ends when all are kept; after an error what is not yet
    begun is left out: nothing in the store says otherwise, so the next run looks at those models again.
    """

    def __init__(self, store: Store, run_id: str | None = None) -> None:
        self._store, self._run_id = store, run_id
        self._threads = ThreadPoolExecutor(THREADS, "record")
        self._records: list[Future[None]] = []

    def keep(self, outcome: Outcome, before: Collection[RejectKind]) -> None:
        """Begin to ``record`` it; what an earlier run recorded costs nothing."""
        if not outcome.known and (before or outcome.kind not in (OutcomeKind.EXTRACTED, OutcomeKind.ALREADY_THERE)):
            self._records.append(self._threads.submit(record, outcome, self._store, before, self._run_id))

    def forget(self, reference_key: str, before: Collection[RejectKind]) -> None:
        """Begin to remove what is recorded of a reference."""
        self._records.append(self._threads.submit(_forget, reference_key, self._store, before))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_left = kind is not None and not issubclass(kind, ClusterError)  # which the store has no part in
        self._threads.shutdown(wait=not is_left, cancel_futures=is_left)
        if not is_left:
            for written in self._records:
                written.result()


def record(outcome: Outcome, store: Store, before: Collection[RejectKind], run_id: str | None = None) -> None:
    """Keep a skip or a failure in the store; forget an older one once the model is extracted.

    A store that can't take the record (full, gone) doesn't end the run: the outcome is still reported, and the next run
    tries the model again.

    Args:
        outcome: of one model.
        store: where it is kept.
        before: the side tables that hold an older record of it: none costs no request.
        run_id: of this run.
    """
    try:
        if outcome.kind in (OutcomeKind.SKIPPED, OutcomeKind.SAME_CONTENT):
            store.write_skip(reject_of(outcome, run_id), before)
        elif outcome.kind is OutcomeKind.FAILED:
            store.write_failure(reject_of(outcome, run_id), before)
        else:
            store.clear_reject(outcome.reference.reference_key, before)
    except (RetryableError, StoreError) as error:
        name = outcome.reference.name
        logger.warning(
            "%s: the outcome %r is not recorded: %s", name, str(outcome.kind), error, extra=fields_of(outcome)
        )


def _forget(reference_key: str, store: Store, before: Collection[RejectKind]) -> None:
    try:
        store.clear_reject(reference_key, before)
    except (RetryableError, StoreError) as error:
        logger.warning("an outcome that no longer holds stays recorded: %s", error)


def reject_of(outcome: Outcome, run_id: str | None = None) -> Reject:
    """The side-table row of an outcome without filters."""
    reference = outcome.reference
    return Reject(
        reference_key=reference.reference_key,
        name=reference.name,
        source=reference.source,
        uri=reference.root,
        revision=reference.revision,
        file=outcome.place.file or reference.entry or None,
        reason=outcome.reason or "unknown",
        message=in_one_line(outcome.message or ""),
        tensor=outcome.place.tensor,
        expected=outcome.place.expected,
        found=outcome.place.found,
        retryable=outcome.retryable,
        attempts=outcome.attempts,
        recorded_at=datetime.now(UTC),
        tool_version=__version__,
        node=outcome.node,
        run_id=run_id,
    )
