"""Choosing models by name, and names that are unique in a listing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from distributed.errors import SourceError
from distributed.references import ModelReference
from distributed.sources.metadata import text_of
from distributed.suggestions import nearest


def select(names: Iterable[str], patterns: Sequence[str], what: str) -> set[str]:
    """The names that a name or pattern (``fnmatch``) of ``patterns`` matches.

    Raises:
        SourceError: a pattern matches nothing; names near it are suggested.
    """
    known = list(names)
    chosen: set[str] = set()
    for pattern in patterns:
        # A name may hold brackets: it always matches itself.
        found = {name for name in known if name == pattern or fnmatchcase(name, pattern)}
        if not found:
            raise SourceError(f"no {what} is called {pattern!r}{suggestion(pattern, known)}")
        chosen |= found
    return chosen


def suggestion(name: str, known: Sequence[str], limit: int = 5) -> str:
    """``: did you mean …`` with the known names nearest to ``name``, or some of those there are."""
    plain = name.strip("*")
    near = nearest(plain, known, limit)
    if not near and plain:
        near = [each for each in known if plain.lower() in each.lower()][:limit]
    if near:
        return f": did you mean {', '.join(near)}?"
    if not known:
        return ""
    return f": there are {', '.join(sorted(known)[:limit])}{' …' if len(known) > limit else ''}"


def some(paths: Sequence[str], limit: int = 5) -> str:
    """The first paths, and how many more there are."""
    shown = ", ".join(text_of(path) or repr(path) for path in paths[:limit])
    return shown + (f" and {len(paths) - limit} more" if len(paths) > limit else "")


def in_order(references: Iterable[ModelReference]) -> list[ModelReference]:
    """By name; of several with one name the later ones (by entry) get a number, so that names are unique."""
    ordered = sorted(references, key=lambda each: (each.name, each.entry, each.root, each.revision or ""))
    names = UniqueNames(each.name for each in ordered)
    return [names.named(each) for each in ordered]


class UniqueNames:
    """Gives every reference a name that no other has: of several with one name the later ones get a number.

    Args:
        reserved: names that no number may make.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._reserved, self._seen = set(reserved), set[str]()

    def named(self, reference: ModelReference) -> ModelReference:
        """The reference, under its name or with a number behind it."""
        name, number = reference.name, 1
        while name in self._seen or (number > 1 and name in self._reserved):
            number += 1
            name = f"{reference.name} ({number})"
        self._seen.add(name)
        return reference if name == reference.name else replace(reference, name=name)
