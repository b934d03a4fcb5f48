"""Which filters a row has: every filter belongs to exactly one, and what contradicts that is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed.errors import UnextractableError
from distributed.published.ranges import filter_ranges


def describe(row: int) -> str:
    return f"row {row}"


def refusal(texts: list[object], rows: int) -> str:
    with pytest.raises(UnextractableError) as caught:
        filter_ranges(texts, rows, describe, "file.h5")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.randoms())
def test_ranges_in_any_order(sizes: list[int], random: object) -> None:
    ends = np.cumsum(sizes)
    pairs = [(int(end) - size, int(end)) for size, end in zip(sizes, ends, strict=True)]
    random.shuffle(pairs)  # type: ignore[attr-defined]
    starts, stops = filter_ranges([f"{a}:{b - 1}" for a, b in pairs], int(ends[-1]), describe, "file.h5")
    assert list(zip(starts.tolist(), stops.tolist(), strict=True)) == pairs


@pytest.mark.parametrize(
    ("texts", "rows", "said"),
    [
        (["0:9", "11:19"], 20, ["gap", "10:10", "row 0", "row 1"]),
        (["1:9"], 10, ["gap", "0:0", "at the beginning", "row 0"]),
        (["0:9", "9:19"], 20, ["overlap", "row 0", "row 1"]),
        (["0:19", "3:5"], 20, ["overlap", "row 0", "row 1"]),
        (["0:9", "0:9"], 10, ["overlap", "row 0", "row 1"]),
        (["0:9", "10:20"], 20, ["row 1", "beyond the 20 filters"]),
        (["0:9"], 20, ["gap", "10:19", "row 0"]),
        (["0:9", "12:10"], 20, ["row 1", "no range"]),
        (["0:9", None], 20, ["row 1", "no range"]),
        (["0:9", "10-19"], 20, ["row 1", "'10-19'"]),
        (["0:9", "-1:19"], 20, ["row 1", "no range"]),
        ([], 5, ["gap", "no row"]),
        ([f"{2 * i}:{2 * i}" for i in range(30)], 60, ["gap", "25 more"]),
    ],
)
def test_contradictions_are_named(texts: list[object], rows: int, said: list[str]) -> None:
    message = refusal(texts, rows)
    assert all(part in message for part in said), message
