"""The end of a run: one table, one line, one exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distributed.errors import in_one_line
from distributed.labels import LabelChange
from distributed.outcomes import Outcome, OutcomeKind
from distributed.progress import human_bytes

#: Rows of the table of skips and failures; the store's side tables hold them all.
MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class RunReport:
    """Every listed model's outcome, and the seconds the run took."""

    outcomes: tuple[Outcome, ...]
    listed: int
    seconds: float

    def count(self, kind: OutcomeKind) -> int:
        """Number of models that ended as ``kind``."""
        return sum(outcome.kind is kind for outcome in self.outcomes)

    @property
    def kinds(self) -> tuple[OutcomeKind, ...]:
        """The kinds of outcomes to speak of."""
        rare = (OutcomeKind.SAME_CONTENT, OutcomeKind.NOT_FINISHED)
        return tuple(kind for kind in OutcomeKind if kind not in rare or self.count(kind))

    def line(self) -> str:
        """``listed 11 = extracted 11 + already there 0 + skipped 0 + failed 0``; the rare kinds only where
        there are.

        Raises:
            AssertionError: the outcomes don't add up: a defect of ours that must never pass unseen.
        """
        counts = [(kind, self.count(kind)) for kind in self.kinds]
        total = sum(count for _, count in counts)
        if total != self.listed:
            raise AssertionError(f"{self.listed} models were listed but {total} outcomes came back")
        return f"listed {self.listed} = " + " + ".join(f"{kind} {count}" for kind, count in counts)


def print_report(report: RunReport, store_uri: str, console: Console, beside: str = "") -> None:
    """The table of outcomes, what was skipped or failed and why, what lies beside the models, the line that adds up."""
    table = Table(title="Extraction", title_justify="left")
    table.add_column("outcome")
    for heading in ("models", "3x3 layers", "3x3 filters", "read"):
        table.add_column(heading, justify="right")
    for kind in report.kinds:
        mine = [outcome for outcome in report.outcomes if outcome.kind is kind]
        table.add_row(
            str(kind),
            f"{len(mine):,}",
            f"{sum(o.layers for o in mine):,}",
            f"{sum(o.filters for o in mine):,}",
            human_bytes(sum(o.bytes_read for o in mine)),
        )
    console.print(table)
    for first, others in _of_one_content(report.outcomes).items():
        say(f"{', '.join(others)}: {first}, counted once", console)
    trouble = [o for o in report.outcomes if o.kind in (OutcomeKind.SKIPPED, OutcomeKind.FAILED)]
    if trouble:
        console.print(_trouble_table(trouble))
        if len(trouble) > MOST_ROWS:
            console.print(f"… and {len(trouble) - MOST_ROWS} more: see skips/ and failures/ in {store_uri}")
    filters = sum(outcome.filters for outcome in report.outcomes)
    if filters:
        rate = filters / report.seconds
        say(f"{filters:,} filters in {report.seconds:.1f} s ({rate:,.0f} filters/s) → {store_uri}", console)
    if beside:
        say(beside, console)
    console.print(report.line(), soft_wrap=True, highlight=False)


def print_labels(changes: Sequence[LabelChange], console: Console, notes: Sequence[str] = (), *, updated: bool) -> None:
    """The models whose labels differ from the store's, each with what differs, and what may be done about it.

    Before them ``notes`` on a file of labels, one line each.
    """
    for note in notes:
        say(note, console)
    if not changes:
        return
    models = f"{len(changes)} {'model' if len(changes) == 1 else 'models'}"
    if updated:
        say(f"Labels updated of {models}:", console)
    else:
        say(f"Labels differ from the store's for {models} (extract.update_labels=true takes them over):", console)
    for change in changes[:MOST_ROWS]:
        say(f"  {change}", console)
    if len(changes) > MOST_ROWS:
        say(f"  … and {len(changes) - MOST_ROWS} more", console)


def _of_one_content(outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    """What a model is the same as → the names of those that are."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.kind is OutcomeKind.SAME_CONTENT:
            found.setdefault(outcome.message or "", []).append(outcome.reference.name)
    return found


def say(line: str, console: Console) -> None:
    """Print one line with names in it as they are, unless they would steer the terminal."""
    console.print(in_one_line(line), soft_wrap=True, highlight=False, markup=False)


def _trouble_table(trouble: Sequence[Outcome]) -> Table:
    table = Table()
    for heading in ("model", "outcome", "reason", "what and where"):
        table.add_column(heading, overflow="fold")
    for outcome in trouble[:MOST_ROWS]:
        what = f"{outcome.kind} (recorded)" if outcome.known else str(outcome.kind)
        cells = [outcome.reference.name, what, outcome.reason or "", outcome.message or ""]
        table.add_row(*(Text(in_one_line(cell)) for cell in cells))
    return table
