"""A listing that a thread makes, while its parts are worked on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from distributed.arrivals import Arrivals
from distributed.errors import SourceError
from distributed.references import ModelReference
from distributed.sources.contents import Listing

WAIT = 30.0


def part(name: str) -> Listing:
    return Listing([ModelReference("hub", name, name, "c0ffee", ())], Counter({".h5": 1}))


def test_parts_are_there_before_the_listing_ends() -> None:
    go_on = threading.Event()

    def parts() -> Iterator[Listing]:
        yield part("a")
        go_on.wait(WAIT)
        yield part("b")

    with Arrivals(parts()) as arrivals:
        arrivals.wait(WAIT)
        assert [each.references[0].name for each in arrivals.take()] == ["a"]
        assert (arrivals.take(), arrivals.has_ended) == ([], False)
        go_on.set()
        while not arrivals.has_ended:
            arrivals.wait(WAIT)
        assert [each.references[0].name for each in arrivals.take()] == ["b"]
    assert arrivals.not_read == {".h5": 2}
    assert arrivals.error is None


@pytest.mark.parametrize("error", [SourceError("page 3 failed"), ZeroDivisionError("a defect")])
def test_an_error_comes_after_what_was_listed_before(error: Exception) -> None:
    def parts() -> Iterator[Listing]:
        yield part("a")
        raise error

    with Arrivals(parts()) as arrivals:
        while not arrivals.has_ended:
            arrivals.wait(WAIT)
        assert len(arrivals.take()) == 1
        assert arrivals.error is error


def test_who_lets_go_waits_for_nothing_and_the_thread_lists_no_further() -> None:
    hangs, ended = threading.Event(), threading.Event()

    def parts() -> Iterator[Listing]:
        try:
            hangs.wait(WAIT)
            yield part("a")
            raise AssertionError("nobody wants a second part")
        finally:
            ended.set()

    def interrupted() -> None:
        with Arrivals(parts()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not ended.is_set()
    hangs.set()
    assert ended.wait(WAIT)
