"""Tables and files of a measured shift."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.arrays.sketch import Sketch, SketchOrigin
from analysis.measures.drift_matrix import AxisShift
from analysis.measures.uncertainty import Uncertainty
from analysis.selection.grouping import Group, Grouping
from analysis.selection.view import Extent
from analysis.shift.files import write
from analysis.shift.measure import ShiftResult
from analysis.wording import one_line


def result_of(
    names: list[str], axis: str = "task", notes: tuple[str, ...] = (), where: str | None = None
) -> ShiftResult:
    number = len(names)
    groups = tuple(Group(n, f"{one_line(n)} ({i + 1})", 10 * (i + 1), 2 * (i + 1), i + 1) for i, n in enumerate(names))
    layer_ids = (np.arange(number) << 16).astype(np.int64)
    grouping = Grouping(axis, groups, layer_ids, np.arange(number), notes)
    points = np.random.default_rng(number).normal(size=(number, 3))
    drift = ((points[:, None] - points[None]) ** 2).sum(-1) / 10
    identity = np.eye(9)
    axes = PrincipalAxes.from_moments(Moments(100, np.zeros(9), identity * np.arange(9, 0, -1)))
    basis = axes.with_range(-1.0, 2.0, 5)
    counts = np.ones((number, 9, 5), np.int64)
    sides = np.zeros((number, 9), np.int64)
    sketch = Sketch(layer_ids, counts, sides, sides, basis, SketchOrigin(False, "found the sketch: nothing scanned"))
    return ShiftResult((AxisShift(grouping, drift, notes),), sketch, Extent(number, 2 * number, 1234567), where)


def test_files_are_those_of_the_issue_and_hold_the_same_numbers(tmp_path: Path) -> None:
    result = result_of(["b", 'ä, "quoted"\nline', "c"], notes=("task: left out, no value: 1 model",), where="x > 0")
    written = write(result, tmp_path)
    assert sorted(path.name for path in written) == [
        "basis.json", "shift_task.csv", "shift_task.parquet", "shift_task.png", "sketch.parquet",
    ]  # fmt: skip
    assert {*written, tmp_path / ".cnn-filter-shift.json"} == set(tmp_path.iterdir())
    shift = result.shifts[0]
    table = pq.read_table(tmp_path / "shift_task.parquet")
    assert table.column_names == [
        "a", "b", "drift", "filters_a", "filters_b", "layers_a", "layers_b", "models_a", "models_b",
            "few_models",
    ]  # fmt: skip
    assert table.num_rows == 9
    for row in table.to_pylist():
        a, b = (next(i for i, g in enumerate(shift.groups) if g.name == row[key]) for key in "ab")
        assert row["drift"] == shift.drift[a, b]
        assert (row["filters_a"], row["filters_b"]) == (10 * (a + 1), 10 * (b + 1))
        assert (row["layers_a"], row["models_b"]) == (2 * (a + 1), b + 1)
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert about["basis"] == result.basis.digest
    assert about["where"] == "x > 0"
    assert about["divergence"] == "symmetric KL, EVR-weighted"
    with (tmp_path / "shift_task.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    labels = [group.label for group in shift.groups]
    assert labels[1] == 'ä, "quoted" line (2)'
    assert rows[0] == ["task", *labels]
    assert [row[0] for row in rows[1:]] == labels
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), shift.drift, rtol=1e-8)


def test_files_say_what_they_are_to_duckdb(tmp_path: Path) -> None:
    write(result_of(["a", "b"]), tmp_path)
    found = duckdb.sql(f"SELECT a, b FROM '{tmp_path}/shift_task.parquet' WHERE drift > 0 ORDER BY a").fetchall()
    assert found == [("a", "b"), ("b", "a")]


def test_matrix_in_memory_is_the_csv() -> None:
    shift = result_of(["a", "b", "c"]).shifts[0]
    matrix = shift.matrix()
    assert matrix.column_names == ["task", "a (1)", "b (2)", "c (3)"]
    assert matrix.column("task").to_pylist() == ["a (1)", "b (2)", "c (3)"]
    np.testing.assert_array_equal(matrix.column("b (2)").to_numpy(), shift.drift[:, 1])


def test_earlier_results_are_replaced_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(result_of(["c", "d", "e"]), tmp_path)
    write(result_of(["c", "d", "e"], axis="depth"), tmp_path)
    assert not (tmp_path / "shift_task.csv").exists()
    write(result_of(["a", "b"]), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "shift_task.csv").read_text().startswith("task,a (1),b (2)\n")
    assert not list(tmp_path.glob("shift_depth*"))
    assert [path.name for path in tmp_path.glob(".*")] == [".cnn-filter-shift.json"]


def test_uncertainty_reaches_the_table_and_unknown_is_null() -> None:
    result = result_of(["a", "b", "c"])
    shift = result.shifts[0]
    square = np.arange(9.0).reshape(3, 3)
    low = square.copy()
    low[0, 1] = np.nan
    known = Uncertainty(low, square, square, square, square / 9, square / 9, square - 5, low)
    uncertain = replace(shift, uncertainty=known, min_models=10**6)
    assert uncertain.pairs().column_names[:5] == ["a", "b", "drift", "drift_debiased", "floor"]
    rows = uncertain.pairs().to_pylist()
    assert rows[0]["drift_debiased"] == -5.0
    assert rows[1]["floor"] is None
    assert rows[1]["drift_lo"] is None
    assert rows[1]["drift_hi"] == 1.0
    assert [row["q_value"] for row in rows] == (square / 9).ravel().tolist()
    assert all(row["few_models"] for row in rows)
    assert not any(row["few_models"] for row in shift.pairs().to_pylist())
    assert "verdict" not in rows[0]
    judged = replace(uncertain, margin=1.5).pairs()
    assert judged.column_names == [*uncertain.pairs().column_names, "verdict"]
    assert judged.column("verdict").to_pylist()[:4] == ["no shift", "no shift", "undecided", "undecided"]
