"""Conditions in SQL: what they choose, and refusals that say why."""

from __future__ import annotations

import pyarrow as pa
import pytest

from analysis.selection.conditions import select_layers
from analysis.selection.view import Extent
from distributed.errors import UserError


def test_where_is_sql_on_models_and_layers(flat: pa.Table) -> None:
    chosen = select_layers(flat, "task = 'Segmentation' and conv_depth > 0")
    expected = [r for r in flat.to_pylist() if r["task"] == "Segmentation" and r["conv_depth"] > 0]
    assert chosen.to_pylist() == expected
    assert select_layers(flat, None) is flat
    assert select_layers(flat, "kernel_shapes['3x3'] > 0 AND name LIKE '%a'").num_rows == 3 + 4 + 3 + 2 + 11
    assert Extent.of(select_layers(flat, "visual_category IS NULL")).models == 1
    assert Extent.of(select_layers(flat, "num_filters > (SELECT median(num_filters) FROM flat)")).models > 0


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("taks = 'x'", "there is no column 'taks'; did you mean 'task'?"),
        ("task =", "cannot be evaluated: Parser Error"),
        ("task", "is of type VARCHAR, not a condition"),
        ("conv_depth", "is of type INTEGER, not a condition"),
        ("true; drop table flat", "cannot be evaluated"),
        ("true;", "cannot be evaluated"),
        ("true) union select * from (flat", "cannot be evaluated: Parser Error"),
        ("true, false", "cannot be evaluated"),
        ("true limit 1", "cannot be evaluated"),
        ("name in (select content from read_text('/etc/passwd'))", "disabled by configuration"),
        ("name in (select * from 'https://example.org/x.parquet')", "cannot be evaluated"),
        ("cast(name as int) = 1", "Could not convert string"),
        ("task = 'Nothing'", "leaves no filter of 28 layers"),
        ("false", "leaves no filter of 28 layers"),
    ],
)
def test_conditions_that_cannot_be_say_why(flat: pa.Table, where: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        select_layers(flat, where)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"where={where!r} ")
    assert "\n" not in str(caught.value)


def test_unknown_column_lists_those_there_are(flat: pa.Table) -> None:
    with pytest.raises(UserError, match=r"there are: .*conv_depth, .*visual_category"):
        select_layers(flat, "nope = 1")


@pytest.mark.parametrize(
    "where",
    [
        "name in (select file from glob('/etc/*'))",
        "name = (select content::varchar from read_blob('/etc/hostname'))",
        "name in (select column0 from read_csv('/etc/passwd'))",
        "name in (select content from read_text('s3://bucket/key'))",
        "name in (select name from read_parquet('http://127.0.0.1:9/x.parquet'))",
        "name in (select name from duckdb_secrets())",
        "name = getenv('HF_TOKEN')",
        "name in (select * from query('install httpfs'))",
        "name in (select * from query('copy flat to ''/tmp/x.csv'''))",
        "true; attach '/tmp/x.db'",
        "true; set enable_external_access = true",
        "name in (select name from numbered)",
    ],
)
def test_conditions_see_the_layers_and_nothing_else(flat: pa.Table, where: str) -> None:
    """No file, network, extension, secret, environment, nor the variables of the Python around them."""
    with pytest.raises(UserError, match="cannot be evaluated"):
        select_layers(flat, where)


def test_condition_cannot_write_files(flat: pa.Table, tmp_path: pytest.TempPathFactory) -> None:
    with pytest.raises(UserError):
        select_layers(flat, f"COPY flat TO '{tmp_path}/x.csv'")
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]
