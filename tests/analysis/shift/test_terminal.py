"""A shift in words and as a matrix on terminals of any width."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from analysis.measures.uncertainty import Uncertainty
from analysis.settings import Adjust
from analysis.shift.measure import ShiftResult
from analysis.shift.terminal import extremes, show
from tests.analysis.shift.test_files import result_of


def printed(result: ShiftResult, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    show(result, [Path("out/basis.json"), Path("out/shift_task.csv"), Path("out/shift_task.png")], console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_extremes_in_words() -> None:
    shift = result_of([*"abcde"]).shifts[0]
    largest, smallest = extremes(shift)
    pairs = sorted(((shift.drift[i, j], i, j) for i in range(5) for j in range(i)), reverse=True)
    value, j, i = pairs[0]
    assert largest.startswith(f"Largest: {'abcde'[i]} ↔ {'abcde'[j]} {value:.2f}, ")
    value, j, i = pairs[-1]
    assert smallest.startswith(f"Smallest: {'abcde'[i]} ↔ {'abcde'[j]} ")
    assert (largest.count("↔"), smallest.count("↔")) == (3, 3)
    assert extremes(result_of(["a"]).shifts[0]) == ()
    assert extremes(result_of(["a", "b"]).shifts[0])[0].count("↔") == 1


@pytest.mark.parametrize("width", [40, 60, 80, 160])
@pytest.mark.parametrize("number", [1, 2, 3, 12, 60, 500])
def test_matrix_fits_the_width(number: int, width: int) -> None:
    names = ["Classification", "a name that is much too long for a narrow terminal", *(f"g{i}" for i in range(number))]
    result = result_of(names[:number])
    text = printed(result, width)
    matrix = text.split("\n\n")[0].splitlines()
    assert max(map(len, matrix)) <= width
    drift = result.shifts[0].drift
    if number > 1:
        assert "…" in text or f"{drift[0, number - 1]:.2f}" in text
        heads = matrix[1 if matrix[0] else 2].split()
        assert len(heads) >= 2 and (heads[0] in ("1", "Classification"))  # noqa: PT018
    if number == 500:
        assert f"of {number} groups" in text
        assert "500" in matrix[-1 if "↔" not in matrix[-1] else -3] or "500 " in text


def test_verdicts_are_marks_with_a_legend() -> None:
    result = result_of([*"abc"])
    low, high = np.full((3, 3), 0.0), np.full((3, 3), 9.0)
    low[0, 1] = low[1, 0] = 0.5
    high[0, 2] = high[2, 0] = 0.01
    q = np.full((3, 3), 0.04)
    shift = replace(result.shifts[0], uncertainty=Uncertainty(low, high, q, q, q, q, low, low))
    plain = printed(replace(result, shifts=(shift,)), 160)
    assert "●" not in plain and "verdict" not in plain  # noqa: PT018
    text = printed(replace(result, shifts=(replace(shift, margin=0.02, adjust=Adjust.max),)), 200)
    assert (
        "margin 0.02, of 3 pairs: ●: 1 shift (interval above it and q <= 0.05) · ○: 1 no shift (interval below it) · "
        "no mark: 1 undecided"
    ) in " ".join(text.split())
    assert (f"{shift.drift[0, 1]:.2f}●" in text, f"{shift.drift[0, 2]:.2f}○" in text) == (True, True)
    assert "(q <= 0.05 by the largest of a deal, permutation of models)" in text


def test_terminal_shows_names_as_they_are_and_never_as_markup() -> None:
    text = printed(result_of(["[bold]x[/bold]", "[link=file:///etc]y", "\x1b[31mred"]), 120)
    assert "[bold]x[/bold] (1)" in text
    assert "[link=file:///etc]y" in text
    assert "\x1b[31m" not in text


def test_terminal_says_what_was_left_out_where_files_are_and_whether_it_scanned() -> None:
    text = printed(result_of(["a", "b"], notes=("task: left out, no value: 1 model",), where="a >\n 0"), 120)
    assert "task: left out, no value: 1 model" in text
    assert "where a > 0" in text
    assert "2 models, 4 layers, 1,234,567 filters; found the sketch: nothing scanned" in text
    assert "written to out: basis.json, shift_task.{csv,png}" in text
