"""What a run counts while it works, on Ray's own Prometheus endpoint: of the driver and of every actor.

Ray puts ``ray_`` before each name and ``_total`` behind those that only grow; ``launch/grafana/`` shows them. A process
without Ray keeps its sums and hands them on as soon as it joins one.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from distributed.cluster import connected_ray
from distributed.outcomes import Outcome


class Stage(StrEnum):
    """What an actor does with a model; a stage inside another one is counted for itself only."""

    OPEN = "open"  # digests, headers, whole files that are fetched
    PLAN = "plan"  # which tensors are convolutions, and how deep they lie
    READ = "read"
    MEASURE = "measure"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    meaning: str
    label: str | None = None


_MODELS = _Metric("filter_shift_models", "Listed models that have ended, by outcome", "outcome")
_FILTERS = _Metric("filter_shift_filters", "3x3 filters written to the store")
_BYTES = _Metric("filter_shift_bytes_read", "Bytes of checkpoints read")
_RETRIES = _Metric("filter_shift_retries", "Tries that failed and are made again, by reason", "reason")
_SECONDS = _Metric("filter_shift_stage_seconds", "Seconds that actors spent, by stage of a model", "stage")
_WAITING = _Metric(
    "filter_shift_waiting", "How many wait: models for an actor, actors for room, the run for the Hub", "what"
)

_lock = threading.Lock()
_unsent: defaultdict[tuple[_Metric, str | None], float] = defaultdict(float)
_made: dict[_Metric, Any] = {}


def ended(outcome: Outcome) -> None:
    """Count a listed model that has ended, with what was read and written for it."""
    _add(_MODELS, 1, outcome.kind.replace(" ", "_"))
    _add(_FILTERS, outcome.filters)
    _add(_BYTES, outcome.bytes_read)


def retried(outcome: Outcome) -> None:
    """Count a try that failed and is made again."""
    _add(_RETRIES, 1, outcome.reason)


def waits(**numbers: int) -> None:
    """How many wait now: ``models=`` for an actor, ``actors=`` for room or their start, ``hub=`` 1 while it is full."""
    if connected_ray() is not None:
        for what, number in numbers.items():
            _of_ray(_WAITING).set(number, {"what": what})


_running = threading.local()


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """Count the seconds until the end of the block for ``name``, without those of stages inside it."""
    outer, started = getattr(_running, "inside", None), time.monotonic()
    _running.inside = 0.0
    try:
        yield
    finally:
        seconds = time.monotonic() - started
        _add(_SECONDS, max(0.0, seconds - _running.inside), str(name))
        _running.inside = None if outer is None else outer + seconds


def _add(metric: _Metric, amount: float, value: str | None = None) -> None:
    with _lock:
        _unsent[metric, value] += amount
        if connected_ray() is None:
            return
        for (each, label), number in _unsent.items():
            if number > 0:  # Ray takes no zeros
                _of_ray(each).inc(number, {each.label: label or "unknown"} if each.label else None)
        _unsent.clear()


def _of_ray(metric: _Metric) -> Any:
    if metric not in _made:
        from ray.util.metrics import Counter, Gauge  # and with it Ray, a second to import

        kind = Gauge if metric is _WAITING else Counter
        _made[metric] = kind(metric.name, description=metric.meaning, tag_keys=(metric.label,) if metric.label else ())
    return _made[metric]
