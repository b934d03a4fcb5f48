"""The notebook runs, shows results, and nothing of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from notebooks.execute import NotebookError, execute
from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "filter_shift.ipynb"


def test_the_notebook_shows_results_and_nothing_of_this_machine() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # in order, from a fresh kernel
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    tables = [output for output in outputs if "dataframe" in output.get("data", {}).get("text/html", "")]
    assert len(tables) >= 6
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(home|Users|root|tmp|work)/", text)
    assert len(text) < 500_000


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = execute(NOTEBOOK, tmp_path)
    assert (tmp_path / "report" / "index.html").is_file()
    kept = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in kept.cells]


def test_a_notebook_that_complains_is_refused(tmp_path: Path) -> None:
    for source, said in (
        ("import sys; print('careful', file=sys.stderr)", "standard error: careful"),
        ("print('/tmp/somewhere')", "shows a path of this machine"),
        ("1 / 0", "ZeroDivisionError"),
    ):
        path = tmp_path / "bad.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
        with pytest.raises(NotebookError, match=re.escape(said)):
            execute(path, tmp_path)
