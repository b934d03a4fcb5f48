"""Progress of a run: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from distributed.errors import in_one_line
from distributed.logs import LogStyle, fields_of
from distributed.outcomes import Outcome, OutcomeKind
from distributed.settings import ProgressStyle

logger = logging.getLogger(__name__)

#: Seconds between two plain lines; a failure or a skip gets its own line at once.
PLAIN_INTERVAL = 10.0
#: The same while actors are waited for.
WAITING_INTERVAL = 5.0


class Reporter(Protocol):
    """What the pool tells while it works."""

    def finished(self, outcome: Outcome) -> None:
        """One model has ended."""

    def retried(self, outcome: Outcome, wait: float) -> None:
        """One try has failed; the next comes in ``wait`` seconds."""

    def tick(self, waiting: str = "") -> None:
        """Some time has passed; the pool is ``waiting for 3 actors: …`` now, or for nothing."""

    def __enter__(self) -> Reporter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Totals:
    """Running sums behind every kind of progress.

    Attributes:
        models: to be extracted, of those listed so far.
        listed: by the source so far, those with nothing to extract among them.
        is_listing: whether there may be more.
        waiting: says what models wait for now, "" where for nothing.
        actors: what the pool waits for, "" where for nothing.
    """

    def __init__(self, models: int = 0, waiting: Callable[[], str] = lambda: "") -> None:
        self.models = models
        self.listed, self.is_listing = 0, False
        self.waiting, self.actors = waiting, ""
        self.done = self.skipped = self.failed = self.filters = self.bytes_read = 0
        self.started = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """Count one ended model."""
        self.done += 1
        self.skipped += outcome.kind is OutcomeKind.SKIPPED
        self.failed += outcome.kind is OutcomeKind.FAILED
        self.filters += outcome.filters
        self.bytes_read += outcome.bytes_read

    def line(self) -> str:
        """``3/11 models (19 listed so far), 87 312 filters (43 656/s), 6.1 MB read, 0 skipped, 0 failed``."""
        return f"{self.done}/{self.models} models{self.listing and f' ({self.listing})'}, {self.sums()}"

    @property
    def waits(self) -> list[str]:
        """What is waited for now, in words."""
        waiting = self.waiting()
        return [each for each in (waiting and f"waiting: {waiting}", self.actors) if each]

    @property
    def listing(self) -> str:
        """How far it is, while it goes on; "" afterwards."""
        return f"{self.listed:,} listed so far" if self.is_listing else ""

    def sums(self) -> str:
        """The line without its models."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        return (
            f"{self.filters:,} filters ({self.filters / seconds:,.0f}/s), "
            f"{human_bytes(self.bytes_read)} read, {self.skipped} skipped, {self.failed} failed"
        )


def human_bytes(count: float) -> str:
    """Bytes in decimal units: ``6.1 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def trouble_line(outcome: Outcome) -> str:
    """One line that says which model, and why."""
    tries = f" (try {outcome.attempts})" if outcome.attempts > 1 else ""
    return in_one_line(f"{outcome.kind}: {outcome.reference.name}: {outcome.message}{tries}")


class PlainReporter:
    """Lines for a log: every ``PLAIN_INTERVAL`` seconds, and one for each failure, skip and retry."""

    def __init__(self, console: Console, totals: Totals) -> None:
        self._console, self._totals = console, totals
        self._last = time.monotonic()

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def finished(self, outcome: Outcome) -> None:
        self._totals.add(outcome)
        if outcome.kind in (OutcomeKind.SKIPPED, OutcomeKind.FAILED):
            self._print(trouble_line(outcome))
        self.tick(self._totals.actors)

    def retried(self, outcome: Outcome, wait: float) -> None:
        self._print(
            in_one_line(
                f"retry: {outcome.reference.name}: {outcome.message} (try {outcome.attempts}; again in {wait:.0f} s)"
            )
        )

    def tick(self, waiting: str = "") -> None:
        self._totals.actors = waiting
        interval = min(PLAIN_INTERVAL, WAITING_INTERVAL) if waiting else PLAIN_INTERVAL
        if time.monotonic() - self._last >= interval:
            self._last = time.monotonic()
            self._print("; ".join([self._totals.line(), *self._totals.waits]))

    def __enter__(self) -> PlainReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._totals.models:
            self._print(self._totals.line())


class LogReporter(PlainReporter):
    """Lines of the log, what they are about as fields: of each model, each retry, every ``PLAIN_INTERVAL`` seconds."""

    def _print(self, line: str) -> None:
        logger.info("%s", line)

    def finished(self, outcome: Outcome) -> None:
        self._totals.add(outcome)
        level = logging.WARNING if outcome.kind is OutcomeKind.FAILED else logging.INFO
        logger.log(level, "%s", outcome.message or outcome.kind, extra=fields_of(outcome))
        self.tick()

    def retried(self, outcome: Outcome, wait: float) -> None:
        logger.warning("retry: %s", outcome.message, extra={**fields_of(outcome), "again_in_seconds": round(wait, 1)})


class _Bar(Progress):
    """A bar, and below it what is waited for."""

    waits: Sequence[str] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield from map(Text, self.waits)


class BarReporter:
    """A live bar over models."""

    def __init__(self, console: Console, totals: Totals) -> None:
        self._totals = totals
        self._progress = _Bar(
            TextColumn("extract"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[line]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("extract", total=totals.models, line="")

    def _update(self) -> None:
        totals = self._totals
        line = f"{totals.listing and f'{totals.listing}, '}{totals.sums()}"
        self._progress.waits = totals.waits
        self._progress.update(self._task, completed=totals.done, total=totals.models, line=line)

    def finished(self, outcome: Outcome) -> None:
        self._totals.add(outcome)
        if outcome.kind in (OutcomeKind.SKIPPED, OutcomeKind.FAILED):
            self._progress.console.print(trouble_line(outcome), markup=False, highlight=False)
        self._update()

    def retried(self, outcome: Outcome, wait: float) -> None:
        line = in_one_line(f"retry: {outcome.reference.name}: {outcome.message} (again in {wait:.0f} s)")
        self._progress.console.print(line, markup=False, highlight=False)

    def tick(self, waiting: str = "") -> None:
        self._totals.actors = waiting
        self._update()

    def __enter__(self) -> BarReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._update()
        self._progress.waits = ()
        self._progress.update(self._task, visible=self._totals.models > 0)
        self._progress.stop()


class SilentReporter:
    """Says nothing; failures and skips still appear in the final table."""

    def finished(self, outcome: Outcome) -> None: ...

    def retried(self, outcome: Outcome, wait: float) -> None: ...

    def tick(self, waiting: str = "") -> None: ...

    def __enter__(self) -> SilentReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def reporter_for(style: ProgressStyle, console: Console, totals: Totals, log: LogStyle = LogStyle.text) -> Reporter:
    """The reporter of ``style``; ``auto`` asks whether ``console`` is a terminal; a log of JSON takes all."""
    if style is ProgressStyle.off:
        return SilentReporter()
    if log is LogStyle.json:
        return LogReporter(console, totals)
    if style is ProgressStyle.bar or (style is ProgressStyle.auto and console.is_terminal):
        return BarReporter(console, totals)
    return PlainReporter(console, totals)
