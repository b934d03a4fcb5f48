"""Checkpoints as people have them: the cases beside the checkout, extracted in this process without Ray.

Each case is a script that writes files and says what is right; ``check.py`` beside them compares every filter bit for
bit. Here its judgement is taken, but the command is not started.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distributed.outcomes import OutcomeKind
from tests.conftest import REPOSITORY
from tests.distributed.in_process import extract_here

FIELD = REPOSITORY.parent / "shared" / "field"

#: Numbers of the cases that have to be right.
CASES = (
    # torch files: what lies beside the tensors, other names and containers, damage, code
    *("01", "03", "04", "05", "06", "07", "08", "10", "11", "24", "25", "35", "37", "47", "48", "51", "52", "56"),
    # copies, other networks and wrappers
    *("12", "13", "18", "27", "28", "29", "39", "55"),
    # orders of axes, scales beside weights, reparametrised weights, what an ONNX graph makes of constants
    *("14", "17", "19", "21", "22", "23", "26", "31", "32", "40", "41", "44", "46", "54"),
)

#: Runs every case's script in one process: torch is imported once.
MAKE = """
import pathlib, runpy, sys, traceback
work = pathlib.Path(sys.argv[1])
for script in sys.argv[2:]:
    for helper in ("common", "onnx_common"):
        sys.modules.pop(helper, None)
    sys.argv = [script, str(work / pathlib.Path(script).stem / "in")]
    pathlib.Path(sys.argv[1]).parent.mkdir()
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception:
        pathlib.Path(sys.argv[1]).with_name("not_made").write_text(traceback.format_exc())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one subfolder a case: ``in``, ``expected``."""
    if not FIELD.is_dir():
        pytest.skip("../shared/field is not on this machine")
    work = tmp_path_factory.mktemp("field")
    scripts = [str(script) for number in CASES for script in sorted((FIELD / "cases").glob(f"{number}_*.py"))]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(FIELD / "cases")}
    command = [sys.executable, "-W", "ignore", "-c", MAKE, str(work), *scripts]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return work


def judge(case: str, work: Path) -> list[tuple[str, bool, str, str]]:
    """``check.py``'s judgement: (file, whether it is right, what was found, remark) of each file of a case."""
    spec = importlib.util.spec_from_file_location("field_check", FIELD / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    return list(check.judge(case, work))


@pytest.mark.parametrize("number", CASES)
def test_case(number: str, made: Path) -> None:
    (work,) = made.glob(f"{number}_*")
    if (work / "not_made").exists():
        pytest.skip((work / "not_made").read_text().splitlines()[-1])
    outcomes = extract_here(work / "in", work / "store")
    assert [o.message for o in outcomes if o.kind is OutcomeKind.FAILED] == []
    assert list(work.glob("EXECUTED_*")) == []
    wrong = [f"{file}: {found} [{remark}]" for file, is_right, found, remark in judge(work.name, work) if not is_right]
    assert wrong == []
