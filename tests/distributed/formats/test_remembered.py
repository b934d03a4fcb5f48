"""What has been read once: exact bytes whatever is known, and nothing twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributed.errors import UnextractableError
from distributed.formats.fetching import Fetched, Part
from distributed.formats.remembered import Remembered
from tests.distributed.formats.helpers import Served

SIZE = 400
RANGE = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: (min(pair), max(pair)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(os.urandom(SIZE))
    return tmp_path / "file"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.lists(RANGE, max_size=5), asked=st.lists(RANGE, max_size=5))
def test_any_ranges_after_any_others(path: Path, kept: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    content, served = path.read_bytes(), Served(path, "file")
    source = Remembered(served, head_bytes=30)
    for each in kept:
        source.remember(each)
    known = set[int]().union(*(range(*each) for each in kept))
    assert {place for call in served.calls for each in call for place in range(*each)} == known
    served.calls.clear()
    assert [bytes(part) for part in source.read_ranges(asked)] == [content[start:stop] for start, stop in asked]
    ends = [each for call in served.calls for each in call]
    assert all(start not in known and stop - 1 not in known for start, stop in ends)
    assert len(served.calls) <= 1


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(RANGE, max_size=8))
def test_parts_fetched_together(path: Path, asked: list[tuple[int, int]]) -> None:
    content, first, second = path.read_bytes(), Served(path, "file"), Served(path, "file")
    parts = [Part(source, start, stop) for start, stop in asked for source in (first, second)]
    fetched = Fetched(parts)
    assert [bytes(fetched.view(part)) for part in parts] == [content[part.start : part.stop] for part in parts]
    assert all(part in fetched for part in parts)
    assert len(first.calls) <= 1
    assert first.calls == second.calls
    assert all(any(a <= start and stop <= b for a, b in first.calls[0]) for start, stop in asked if start < stop)


def test_the_head_is_read_once_and_nobody_may_change_it(path: Path) -> None:
    served = Served(path, "file")
    source = Remembered(served, head_bytes=30)
    assert source.head() == source.head() == path.read_bytes()[:30]
    (part,) = source.read_ranges([(5, 20)])
    assert memoryview(part).readonly
    assert served.calls == [[(0, 30)]]
    assert source.bytes_read == 30


def test_outside_the_file(path: Path) -> None:
    with pytest.raises(UnextractableError, match="outside the file"):
        Remembered(Served(path, "file")).read_ranges([(300, 401)])
