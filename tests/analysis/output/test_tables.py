"""Tables fit the terminal: what makes way, in which order, and that the title says so."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from analysis.output.tables import Column, narrow_table

COLUMNS = (
    Column("model", ["resnet20_cifar10 with quite a long name, number one", "[red]b[/red]"], is_name=True),
    Column("filters", ["1,000", "12"]),
    Column("entropy", ["0.500", "–"], rank=2),
    Column("depth", ["0.125", "1.000"], rank=1),
)


def shown(width: int) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None)
    console.print(narrow_table("Table", COLUMNS, width))
    return file.getvalue().rstrip().split("\n")


def test_a_heading_longer_than_the_names_stays_whole() -> None:
    file = io.StringIO()
    columns = (
        Column("explained variance", ["a", "b"], is_name=True),
        *(Column(str(i), ["0.5", "0.5"], rank=i) for i in range(4)),
    )
    Console(file=file, width=33, color_system=None).print(narrow_table("T", columns, 33))
    lines = file.getvalue().rstrip().split("\n")
    assert lines[-3].split() == ["explained", "variance", "0", "1", "2"]
    assert "…" not in file.getvalue()


def test_wide_enough_shows_everything_as_it_is() -> None:
    title, heading, first, second = (line.split() for line in shown(120))
    assert title == ["Table"]
    assert heading == ["model", "filters", "entropy", "depth"]
    assert " ".join(first) == "resnet20_cifar10 with quite a long name, number one 1,000 0.500 0.125"
    assert second == ["[red]b[/red]", "12", "–", "1.000"]  # a name is no markup


@pytest.mark.parametrize(("width", "gone"), [(50, ""), (37, "entropy"), (30, "depth, entropy")])
def test_names_are_shortened_then_columns_make_way(width: int, gone: str) -> None:
    lines = shown(width)
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    assert (f"(too narrow here for: {gone})" in text) == bool(gone)
    assert ("0.500" in text) == ("entropy" not in gone)
    assert ("0.125" in text) == ("depth" not in gone)
    assert "resnet20" in text
    assert "number one" in text or "one" in text
    assert "1,000" in text
