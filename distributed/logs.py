"""Lines of the log: which model and which try each is about, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings know of this module, and ``--help`` needs no Arrow
    from distributed.outcomes import Outcome

_about: ContextVar[tuple[str, int] | None] = ContextVar("about", default=None)

#: What every record of ``logging`` has: the rest was given as ``extra``.
_OF_EVERY_RECORD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}


class LogStyle(StrEnum):
    """How lines of the log are written."""

    text = "text"
    json = "json"


def begin(style: LogStyle) -> None:
    """Write this process's log to standard error in ``style``, from here on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson() if style is LogStyle.json else _AsText())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


@contextmanager
def about(model: str, attempt: int) -> Iterator[None]:
    """Lines logged inside are about this try of this model, whoever writes them."""
    token = _about.set((model, attempt))
    try:
        yield
    finally:
        _about.reset(token)


def fields_of(outcome: Outcome) -> dict[str, object]:
    """What a line of JSON says of an outcome, for ``extra``."""
    return {
        "model": outcome.reference.name,
        "attempt": outcome.attempts,
        "outcome": str(outcome.kind),
        "reason": outcome.reason,
        "filters": outcome.filters,
        "bytes_read": outcome.bytes_read,
    }


class _AsText(logging.Formatter):
    """The message, after the model and the try where it does not come from the driver."""

    def format(self, record: logging.LogRecord) -> str:
        model = _about.get()
        return super().format(record) if model is None else f"[{model[0]}, try {model[1]}] {super().format(record)}"


class _AsJson(logging.Formatter):
    """One object a line; a stack is one of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (model := _about.get()) is not None:
            fields |= {"model": model[0], "attempt": model[1]}
        fields |= {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}
        if record.exc_info:
            fields["stack"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)
