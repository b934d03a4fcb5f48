"""Work on many items by threads that wait for a server, its results in parts as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: A part is given when it has so many results, or is so many seconds old.
PART_SIZE, PART_SECONDS = 100, 1.0


class _End:
    """A thread has ended, by an error or not."""

    def __init__(self, error: BaseException | None = None, *, at_once: bool = False) -> None:
        self.error, self.at_once = error, at_once


def in_parts(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[list[Result]]:
    """``work`` of every item, ``threads`` at a time, results in the order in which they are done.

    Items are taken from their iterator, in a thread, no faster than they are worked on. Closing this iterator, or an
    error, leaves the threads to end by themselves: none is waited for, and none keeps the process alive. An error of
    ``items`` is raised after the results of the items before it, one of ``work`` at once.
    """
    return _Threads(work, threads).parts(items)


class _Threads(Generic[Item, Result]):
    def __init__(self, work: Callable[[Item], Result], threads: int) -> None:
        self._work, self._number = work, threads
        self._todo: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Result | _End] = queue.SimpleQueue()
        self._room = threading.Semaphore(2 * threads)
        self._stop = threading.Event()

    def parts(self, items: Iterable[Item]) -> Generator[list[Result]]:
        for target, name in [(lambda: self._feed(items), "feed"), *((self._serve, "work"),) * self._number]:
            threading.Thread(target=target, daemon=True, name=f"listing-{name}").start()
        ended: list[_End] = []
        part: list[Result] = []
        due = time.monotonic() + PART_SECONDS
        try:
            while len(ended) <= self._number:
                found = self._next(due if part else None)
                if isinstance(found, _End):
                    ended.append(found)
                    if found.at_once and found.error is not None:
                        raise found.error
                elif found is not None:
                    part.append(found)
                if part and (len(part) >= PART_SIZE or time.monotonic() >= due or len(ended) > self._number):
                    yield part
                    part = []
                    due = time.monotonic() + PART_SECONDS
            for end in ended:
                if end.error is not None:
                    raise end.error
        finally:
            self._stop.set()
            self._room.release(self._number)
            self._end_workers()

    def _next(self, due: float | None) -> Result | _End | None:
        """The next result; None where there is none before ``due``."""
        try:
            return self._done.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        except queue.Empty:
            return None

    def _feed(self, items: Iterable[Item]) -> None:
        end = _End()
        try:
            for item in items:
                self._room.acquire()
                if self._stop.is_set():
                    return
                self._todo.put(item)
        except BaseException as error:  # noqa: BLE001 - handed over and raised there
            end = _End(error)
        finally:
            self._end_workers()
            self._done.put(end)

    def _end_workers(self) -> None:
        for _ in range(self._number):
            self._todo.put(_End())

    def _serve(self) -> None:
        end = _End()
        try:
            while not isinstance(item := self._todo.get(), _End) and not self._stop.is_set():
                self._room.release()
                self._done.put(self._work(item))
        except BaseException as error:  # noqa: BLE001 - handed over and raised there
            end = _End(error, at_once=True)
        finally:
            self._done.put(end)
