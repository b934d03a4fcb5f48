"""What a user sees who mistypes a setting: one line, exit code 2, no stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import cli

WRONG = {
    "storee.uri=x": "there is no setting 'storee'",
    "extract.retry=maybe": "expected one of [none, failed, skipped, all]",
    "extract.max_attempts=abc": "'abc' of type 'str' could not be converted to Integer",
    "source=nope": "Available options in 'source': hub, local, sample, timm",
    "source.modls=[x]": "there is no setting 'modls'",
    "+extract.zzz=1": "there is no setting 'zzz'",
    "source=local": "source.path is not set",
    "store=s3": "store.uri is not set",
    "store.uri=ftp://x/y": "ftp:// is not supported",
    "source=local source.path=nowhere": "nowhere: no such file or folder",
}


@pytest.mark.parametrize(("overrides", "words"), WRONG.items(), ids=list(WRONG))
def test_wrong_settings_are_one_line(overrides: str, words: str, tmp_path: Path) -> None:
    said = cli.extract(tmp_path, *overrides.split(), "extract.dry_run=true")
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert said.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_of_shift_are_one_line(tmp_path: Path) -> None:
    for overrides, words in {"axis=[x]": "there is no setting 'axis'", "store.uri=empty": "holds no models"}.items():
        said = cli.shift(tmp_path, overrides)
        assert said.returncode == 2
        (line,) = said.stderr.splitlines()
        assert words in line


def test_help_names_every_setting(tmp_path: Path) -> None:
    said = cli.run_command("launch/extract.py", "--help", cwd=tmp_path)
    assert said.returncode == 0
    for words in ("max_bytes_in_flight", "source=timm", "endpoint_url", "cluster=ray", "path: ???"):
        assert words in said.stdout
    assert "schema" not in said.stdout
