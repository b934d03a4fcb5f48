"""A shift on a terminal: matrices that fit its width, and what stands out, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.arrays.types import Int64
from analysis.measures.drift_matrix import AxisShift
from analysis.measures.verdicts import LARGEST_Q, Verdict
from analysis.output.terminal import print_closing
from analysis.shift.measure import ShiftResult
from analysis.shift.words import adjusted_by, verdict_marks
from analysis.wording import count, decimals_of, elide

#: More rows than this no one reads on a terminal; the files have them all.
MOST_GROUPS = 20

#: Where fewer groups than this would fit, their names make way.
_FEWEST_GROUPS = 4

#: The labels of the rows take at most this share of the width.
_LABEL_SHARE = 0.45

#: So many of the largest and smallest drifts are named.
_NAMED = 3

#: After the drift of a cell.
_MARKS = {Verdict.shift: "●", Verdict.no_shift: "○", Verdict.undecided: ""}


def show(result: ShiftResult, paths: Sequence[Path], console: Console) -> None:
    """Each axis's matrix and extremes, then where the files are and what they rest on."""
    for shift in result.shifts:
        console.print()
        for part in _matrix(shift, console.width):
            console.print(part)
        for line in (*extremes(shift), *from_untrained(shift), *certainty(shift), *shift.notes):
            console.print(Text(line))
    console.print()
    print_closing(console, result, result.sketch.provenance, paths)


def extremes(shift: AxisShift) -> tuple[str, ...]:
    """``Largest: Segmentation ↔ Classification 0.42, …`` and the smallest likewise; nothing for a single group."""
    rows, columns = _pairs(shift)
    if not len(rows):
        return ()
    values = shift.drift[rows, columns]
    order = np.argsort(-values, kind="stable")

    def named(chosen: Sequence[int]) -> str:
        names = shift.grouping.names
        return ", ".join(
            f"{names[rows[i]]} ↔ {names[columns[i]]} {_words(float(values[i]))}{interval(rows[i], columns[i])}"
            for i in chosen
        )

    def interval(row: int, column: int) -> str:
        if shift.uncertainty is None or np.isnan(shift.uncertainty.low[row, column]):
            return ""
        low, high, debiased = (
            _words(float(getattr(shift.uncertainty, name)[row, column])) for name in ("low", "high", "debiased")
        )
        return f" (debiased {debiased} [{low}, {high}])"

    if len(order) < 2 * _NAMED:
        return (f"From largest to smallest: {named(order.tolist())}",)
    largest, smallest = order[:_NAMED].tolist(), order[: -_NAMED - 1 : -1].tolist()
    return f"Largest: {named(largest)}", f"Smallest: {named(smallest)}"


def from_untrained(shift: AxisShift) -> tuple[str, ...]:
    """``From untrained, normal: nearest Denoising 0.02, farthest Segmentation 0.9`` for each baseline there is."""
    learned = np.flatnonzero(shift.grouping.learned)
    names, lines = shift.grouping.names, []
    for baseline in np.flatnonzero(~shift.grouping.learned):
        order = learned[np.argsort(shift.drift[baseline, learned], kind="stable")]
        near, far = (f"{names[g]} {_words(float(shift.drift[baseline, g]))}" for g in (order[0], order[-1]))
        lines.append(f"From {names[baseline]}: nearest {near}, farthest {far}")
    return tuple(lines)


def _pairs(shift: AxisShift) -> tuple[Int64, Int64]:
    """(P,) first and second group of every pair of groups of models."""
    learned = np.flatnonzero(shift.grouping.learned)
    first, second = np.triu_indices(len(learned), k=1)
    return learned[first], learned[second]


def certainty(shift: AxisShift) -> tuple[str, ...]:
    """How many drifts are larger than chance allows, and how many rest on too few models."""
    rows, columns = _pairs(shift)
    if not len(rows):
        return ()
    lines = []
    if shift.uncertainty is not None:
        found = int((shift.uncertainty.q_value[rows, columns] <= LARGEST_Q).sum())
        lines.append(
            f"{found} of {count(len(rows), 'pair')} drift more than random groups of these {shift.units} would "
            f"(q <= {LARGEST_Q}{adjusted_by(shift)}, permutation of {shift.units})"
        )
    if shift.verdicts is not None:
        lines.append(verdict_marks(shift, "●", "○", "no mark"))
    few = int(shift.few_models[rows, columns].sum())
    if few:
        lines.append(
            f"° {few} of {count(len(rows), 'pair')} with a group of fewer than {shift.min_models} {shift.units}"
        )
    return tuple(lines)


def _words(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.2g}"


def _matrix(shift: AxisShift, width: int) -> list[Table | Text]:
    """The matrix in at most ``width`` characters; groups in the middle make way, with … in their place."""
    legend: list[str] = []
    rows, heads = [group.label for group in shift.groups], shift.grouping.names
    cells = _cells(shift)
    cell = max(len(text) for row in cells for text in row)
    shown: list[int | None] = list(range(len(rows)))
    if len(rows) > MOST_GROUPS or max(map(len, rows)) + sum(max(cell, len(h)) + 2 for h in heads) > width:
        # Names do not fit above the columns: the row's number stands for them.
        heads = [str(index + 1) for index in range(len(rows))]
        cell = max(cell, len(heads[-1]))
        room = max(12, int(width * _LABEL_SHARE))
        rows = [elide(f"{head:>{len(heads[-1])}} {row}", room) for head, row in zip(heads, rows, strict=True)]
        fitting = (width - max(map(len, rows)) - 2) // (cell + 2)
        if fitting < min(len(rows), _FEWEST_GROUPS):  # numbers alone; the names stand below
            legend, rows = rows, heads
            fitting = (width - len(heads[-1]) - 2) // (cell + 2)
        shown = _shown(len(rows), max(2, min(fitting, MOST_GROUPS)))
    title = Text(f"Drift by {shift.axis}", style="bold")
    if None in shown:
        title.append(f" ({sum(i is not None for i in shown)} of {len(rows)} groups)", style="dim")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in shown:
        table.add_column(Text("…" if column is None else heads[column]), justify="right", no_wrap=True)
    for row in shown:
        texts = ["…" if row is None or column is None else cells[row][column] for column in shown]
        table.add_row(Text("…" if row is None else rows[row]), *map(Text, texts))
    return [title, table, *(Text(legend[row]) for row in shown if row is not None and legend)]


def _cells(shift: AxisShift) -> list[list[str]]:
    decimals, few, said = decimals_of(float(shift.drift.max())), shift.few_models, shift.verdicts

    def cell(row: int, column: int, value: float) -> str:
        mark = "" if said is None else _MARKS[Verdict(said[row, column])]
        return f"{value:.{decimals}f}{'°' if few[row, column] else ''}{mark}"

    return [
        ["·" if row == column else cell(row, column, value) for column, value in enumerate(values)]
        for row, values in enumerate(shift.drift)
    ]


def _shown(number: int, fitting: int) -> list[int | None]:
    """Indices of the groups to show, None where those in the middle are left out."""
    if number <= fitting:
        return list(range(number))
    kept = fitting - 1  # one place for the …
    first = (kept + 1) // 2
    return [*range(first), None, *range(number - (kept - first), number)]
