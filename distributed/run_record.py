"""A run's own record in the store: opened when something is listed, kept up to date, closed at the end."""

from __future__ import annotations

import dataclasses
import logging
import platform
import re
import socket
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from distributed import __version__
from distributed.errors import FilterShiftError, RetryableError, StoreError
from distributed.interrupt import INTERRUPTED
from distributed.outcomes import Outcome, OutcomeKind
from distributed.settings import ExtractionRun
from distributed.store import RunRow, Store

logger = logging.getLogger(__name__)

#: Seconds between two writings of the record of a run that goes on: well below ``rows.DEAD_AFTER``.
BEAT_SECONDS = 60.0

_PACKAGES = ("torch", "numpy", "pyarrow", "ray", "timm", "onnx", "safetensors", "huggingface_hub", "s3fs")

#: What stands before the host of an address and need not be known by who reads the record.
_USER_OF_URL = re.compile(r"(?<=//)[^/@\s]*@")


class Progress(Protocol):
    """What has been listed so far, and what became of it."""

    @property
    def listed(self) -> int:
        """Models."""

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """Of those that have ended."""


class RunRecord:
    """The record of one run; nothing is written before something is listed.

    Attributes:
        run_id: 16 hex digits.
    """

    def __init__(self, store: Store, run: ExtractionRun) -> None:
        self.run_id = uuid.uuid4().hex[:16]
        self._store, self._run = store, run
        self._started = datetime.now(UTC)
        self._row: RunRow | None = None
        self._progress: Progress | None = None
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._keep_beating, name="run-record", daemon=True)

    def keep_from(self, progress: Progress) -> None:
        """Once something is listed: write it for the first time, and every ``BEAT_SECONDS`` from then on.

        Raises:
            UnusableStoreError, RetryableError: the store can't be written: no model need be tried.
        """
        if self._row is not None or not progress.listed:
            return
        row = RunRow(
            self.run_id,
            self._started,
            self._started,
            None,
            None,
            socket.gethostname(),
            {name: _USER_OF_URL.sub("", value) for name, value in _flat(self._run)},
            _versions(),
            _git_commit(Path(__file__).parent),
            *(0, {}, 0, 0, 0, ()),
        )
        self._store.write_run(_as_of_now(row, progress))
        self._row, self._progress = row, progress
        self._beat.start()

    def close(self, error: BaseException | None) -> None:
        """Write the end, if there is a beginning; ``error`` is what ended the run early."""
        if self._row is None or self._progress is None:
            return
        self._ended.set()
        self._beat.join()
        ending = "complete" if error is None else INTERRUPTED if isinstance(error, KeyboardInterrupt) else str(error)
        row = _as_of_now(self._row, self._progress)
        try:
            self._store.write_run(replace(row, ended_at=row.updated_at, ending=ending))
        except (RetryableError, StoreError) as unwritten:
            logger.warning("the record of run %s stays open: %s", self.run_id, unwritten)

    def _keep_beating(self) -> None:
        assert self._row is not None and self._progress is not None  # noqa: PT018 - one thing: it is open
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._store.write_run(_as_of_now(self._row, self._progress))
            except FilterShiftError as error:
                logger.warning("the record of run %s is not up to date: %s", self.run_id, error)


def _as_of_now(row: RunRow, progress: Progress) -> RunRow:
    outcomes = list(progress.outcomes)
    tried = [outcome for outcome in outcomes if not outcome.known and outcome.kind is not OutcomeKind.NOT_FINISHED]
    return replace(
        row,
        updated_at=datetime.now(UTC),
        listed=progress.listed,
        outcomes=Counter(str(outcome.kind) for outcome in outcomes),
        filters=sum(outcome.filters for outcome in outcomes),
        bytes_read=sum(outcome.bytes_read for outcome in outcomes),
        retries=sum(outcome.attempts - 1 for outcome in tried),
        nodes=tuple(sorted({outcome.node for outcome in tried if outcome.node is not None})),
    )


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """``store.uri`` → its value, of every setting."""
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{each.name}.")
        elif value is not None:
            yield f"{prefix}{each.name}", str(value)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "cnn-filter-shift": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that this installation does without
    return found


def _git_commit(folder: Path) -> str | None:
    """Of the checkout the code lies in; None for an installation or an uploaded copy."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
