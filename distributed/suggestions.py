"""The name that was meant, where one is not known: used by every message that refuses a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], limit: int = 1) -> list[str]:
    """At most ``limit`` known names, the most alike to ``name`` first; none where none is alike. Case is no matter."""
    folded: dict[str, str] = {}
    for each in known:
        folded.setdefault(each.casefold(), each)
    return [folded[each] for each in difflib.get_close_matches(name.casefold(), folded, n=limit)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'task'?`` for ``tsk``, to end a sentence with; "" where nothing known is alike."""
    return "".join(f"; did you mean {each!r}?" for each in nearest(name, known))
