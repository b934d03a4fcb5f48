"""Names of files, and folders that cannot be written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.output.names import file_stem, writable_folder
from distributed.errors import UserError


def test_axis_names_cannot_leave_the_folder() -> None:
    assert re.fullmatch(r"\.\._up_and_away-[0-9a-f]{6}", file_stem("../up/and away"))
    assert file_stem("visual_category") == "visual_category"


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, message in {
        str(tmp_path / "file"): "cannot write there: File exists",
        str(tmp_path / "file" / "below"): "cannot write there: Not a directory",
        "/proc/shift": "cannot write there",
        "s3://bucket/x": "a folder on this machine",
    }.items():
        with pytest.raises(UserError) as caught:
            writable_folder(out)
        assert message in str(caught.value)
        assert str(caught.value).startswith(f"out={out}: ")
    assert writable_folder(str(tmp_path / "a" / "b")).is_dir()
