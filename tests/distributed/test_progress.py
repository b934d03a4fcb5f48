"""What is told while a run works: on a terminal, in a log, or not at all."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from distributed import progress
from distributed.errors import UserError
from distributed.outcomes import Outcome, OutcomeKind
from distributed.progress import BarReporter, PlainReporter, SilentReporter, Totals, human_bytes, reporter_for
from distributed.references import FileReference, ModelReference
from distributed.report import RunReport, print_report
from distributed.settings import ProgressStyle


def outcome(kind: OutcomeKind, name: str = "net", message: str | None = None, **counts: int) -> Outcome:
    return Outcome(ModelReference("local", name, "/", None, ()), kind, message=message, **counts)


def terminal() -> Console:
    """A terminal of 160 columns that keeps what it shows; asked by nobody to draw by itself between two updates."""
    return Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)


def shown(console: Console) -> list[str]:
    """Every line that a terminal was made to show, without the codes that move its cursor."""
    assert isinstance(console.file, io.StringIO)
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()))


def test_the_bar_counts_models_filters_and_bytes() -> None:
    console = terminal()
    with BarReporter(console, Totals(3)) as bar:
        bar.finished(outcome(OutcomeKind.EXTRACTED, filters=1_200, bytes_read=6_100_000))
        bar.finished(outcome(OutcomeKind.ALREADY_THERE))
    last = next(line for line in reversed(shown(console)) if line.strip())
    assert "2/3" in last
    assert "1,200 filters" in last
    assert "6.1 MB read, 0 skipped, 0 failed" in last


def test_the_bar_tells_trouble_above_itself_with_names_as_they_are() -> None:
    console = terminal()
    with BarReporter(console, Totals(2)) as bar:
        bar.retried(outcome(OutcomeKind.FAILED, "[red]a[/red]", "503"), 1.6)
        bar.finished(outcome(OutcomeKind.SKIPPED, "b", "gated [link]"))
        bar.finished(outcome(OutcomeKind.FAILED, "c", "no"))
    lines = [line.rstrip() for line in shown(console)]
    for line in ("retry: [red]a[/red]: 503 (again in 2 s)", "skipped: b: gated [link]", "failed: c: no"):
        assert line in lines
    assert any("2/2" in line and "1 skipped, 1 failed" in line for line in lines)


def test_the_bar_ends_with_the_run_however_it_ends() -> None:
    console = terminal()

    def interrupted() -> None:
        with BarReporter(console, Totals(2)) as bar:
            bar.tick()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    console.print("after")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("\x1b[?25l") == console.file.getvalue().count("\x1b[?25h") == 1  # the cursor
    assert shown(console)[-2] == "after"


def test_a_log_gets_a_line_now_and_then_and_one_for_each_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=40)
    with PlainReporter(console, Totals(5)) as plain:
        plain.finished(outcome(OutcomeKind.EXTRACTED, filters=9))
        plain.tick()
        before = shown(console)
        monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.01)
        time.sleep(0.02)
        plain.tick()
        plain.retried(outcome(OutcomeKind.FAILED, "a", "503", attempts=2), 1.6)
        plain.finished(outcome(OutcomeKind.SKIPPED, "b", "a message that is longer than the log is wide"))
    assert before == [""]
    lines = shown(console)
    assert lines[0].startswith("1/5 models, 9 filters (")
    assert lines[1] == "retry: a: 503 (try 2; again in 2 s)"
    assert lines[2] == "skipped: b: a message that is longer than the log is wide"
    assert re.fullmatch(r"2/5 models, 9 filters \([\d,]+/s\), 0 B read, 1 skipped, 0 failed", lines[-2])


WAITS = "lab/net@c0ffee/model.safetensors waits 41 s for the Hub's budget (3000 resolve requests in 300 s)"


def test_a_log_says_what_is_waited_for_and_that_the_listing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    console, totals, waits = Console(file=io.StringIO(), width=40), Totals(), [WAITS, ""]
    totals.waiting = lambda: waits.pop(0)
    with PlainReporter(console, totals) as plain:
        totals.models, totals.listed, totals.is_listing = 3, 1_200, True
        plain.tick()
        totals.models, totals.is_listing = 5, False
        plain.tick("waiting for 3 actors: each needs 1 GPU, the largest free node has 0")
    first, second, *_ = shown(console)
    assert first.startswith("0/3 models (1,200 listed so far), 0 filters")
    assert first.endswith(f"; waiting: {WAITS}")
    assert second.startswith("0/5 models, 0 filters")
    assert second.endswith("; waiting for 3 actors: each needs 1 GPU, the largest free node has 0")
    assert WAITS not in second


def test_the_bar_grows_with_the_listing_and_says_what_is_waited_for_while_it_is() -> None:
    console, totals = terminal(), Totals()
    totals.waiting = lambda: WAITS if totals.is_listing else ""
    with BarReporter(console, totals) as bar:
        totals.models, totals.listed, totals.is_listing = 2, 4, True
        bar.finished(outcome(OutcomeKind.EXTRACTED))
        bar._progress.refresh()
        listing = shown(console)
        totals.models, totals.is_listing = 7, False
        bar.tick()
    assert any("1/2" in line and "4 listed so far" in line for line in listing)
    assert any(line.strip() == f"waiting: {WAITS}" for line in listing)
    last = [line for line in shown(console) if line.strip()][-1]
    assert "1/7" in last
    assert "listed" not in last


def test_a_bar_without_anything_to_do_leaves_nothing_behind() -> None:
    console = terminal()
    with BarReporter(console, Totals()) as bar:
        bar.tick()
    assert not shown(console)[-1].strip()


@pytest.mark.parametrize(
    ("style", "is_terminal", "kind"),
    [
        (ProgressStyle.auto, True, BarReporter),
        (ProgressStyle.auto, False, PlainReporter),
        (ProgressStyle.bar, False, BarReporter),
        (ProgressStyle.plain, True, PlainReporter),
        (ProgressStyle.off, True, SilentReporter),
    ],
)
def test_the_style_is_as_asked_or_as_the_console_is(style: ProgressStyle, is_terminal: bool, kind: type) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal)
    with reporter_for(style, console, Totals(1)) as reporter:
        assert isinstance(reporter, kind)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (6_140_000, "6.1 MB"), (46e9, "46.0 GB"), (1.076e15, "1076.0 TB")]
)
def test_bytes_are_told_in_decimal_units(count: float, text: str) -> None:
    assert human_bytes(count) == text


def test_names_are_shown_and_never_obeyed() -> None:
    """Neither as rich's markup nor as a terminal's control sequences: from files anyone may have named."""
    named = ModelReference(
        "local", "a\x1b[2J[red]net\x9b1m\x07", "/models", None, (FileReference("n.pth", 1, stamp=1),)
    )
    failed = Outcome(named, OutcomeKind.FAILED, reason="RetryableError", message="of \x1b]0;title\x07", attempts=2)
    out = io.StringIO()
    console = Console(file=out, width=200)
    reporter = PlainReporter(console, Totals(1))
    reporter.retried(failed, 1.0)
    reporter.finished(failed)
    print_report(RunReport((failed,), 1, 1.0), "store", console, "1 file not read: \x1b[2J.h5")
    said = out.getvalue()
    assert said.count("a[red]net\\x9b1m\\x07") == 3
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said)
    assert str(UserError("no \x1b[2J here")) == "no  here"
