"""Which filters belong to which row of the frame: ``filter_ids``, text ``start:end`` with the end included."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from distributed.errors import UnextractableError
from distributed.formats.problems import unreadable

_RANGE = re.compile(r"\s*(\d{1,18})\s*:\s*(\d{1,18})\s*")

#: Rows named in a message before it only counts.
_MOST_NAMED = 5


def filter_ranges(
    texts: Sequence[object], rows: int, describe: Callable[[int], str], file: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First filter, and the one behind the last, of each row of the frame; together they are all filters, each once.

    Args:
        texts: ``filter_ids`` of each row.
        rows: number of filters in the file.
        describe: a row in words, for messages.
        file: name for messages.

    Raises:
        UnextractableError: a text is no range, ranges overlap, leave a gap, end before they begin, or lie beyond the
            filters; the message names the rows of the frame.
    """
    starts, stops = np.empty(len(texts), np.int64), np.empty(len(texts), np.int64)
    wrong: list[str] = []
    for i, text in enumerate(texts):
        found = _RANGE.fullmatch(text) if isinstance(text, str) else None
        starts[i], stops[i] = (int(found[1]), int(found[2]) + 1) if found else (0, 0)
        if stops[i] <= starts[i]:
            wrong.append(f"{describe(i)}: {str(text)[:40]!r} is no range start:end")
    _refuse(wrong, "rows whose filter_ids are no ranges", file)
    wrong = [
        f"{describe(i)}: {texts[i]} is beyond the {rows} filters of the file"
        for i in np.flatnonzero(stops > rows).tolist()
    ]
    _refuse(wrong, "rows whose filters are not there", file)
    order = np.argsort(starts, kind="stable")
    before, last = 0, -1
    for i in order.tolist():
        if starts[i] > before:
            after = f"after {describe(last)}, {texts[last]}" if last >= 0 else "at the beginning"
            wrong.append(f"gap: no row has the filters {before}:{starts[i] - 1}, {after}, before {describe(i)}")
        elif starts[i] < before:
            wrong.append(f"overlap: {describe(last)}, {texts[last]} and {describe(i)}, {texts[i]}")
        if stops[i] > before:
            before, last = int(stops[i]), i
    if before < rows:
        after = f"after {describe(last)}, {texts[last]}" if last >= 0 else "there is no row"
        wrong.append(f"gap: no row has the filters {before}:{rows - 1}, {after}")
    _refuse(wrong, "gaps and overlaps", file)
    return starts, stops


def _refuse(wrong: list[str], what: str, file: str) -> None:
    if wrong:
        more = f"; and {len(wrong) - _MOST_NAMED} more {what}" if len(wrong) > _MOST_NAMED else ""
        raise _problem(f"{'; '.join(wrong[:_MOST_NAMED])}{more}", file)


def _problem(message: str, file: str) -> UnextractableError:
    return unreadable(f"{file}: meta", f"{message}: the file contradicts itself, download it again")
