"""Parameters asked for, or asked to be left out, by name."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

#: A setting of one pattern or several: ``a*``, ``[a*,b*]``.
Patterns: TypeAlias = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """Patterns (``fnmatch``, case matters) of parameter names. ``exclude`` wins.

    Attributes:
        include: of those that stay, although they look like a copy or like a network that is not the model.
        exclude: of those that are left out.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether the parameter was asked for."""
        return not self.leaves(name) and any(fnmatchcase(name, pattern) for pattern in self.include)

    def leaves(self, name: str) -> bool:
        """Whether the parameter was asked to be left out."""
        return any(fnmatchcase(name, pattern) for pattern in self.exclude)


def several(patterns: Patterns) -> tuple[str, ...]:
    """The patterns of a setting; none for an empty text."""
    return patterns if isinstance(patterns, tuple) else (patterns,) if patterns else ()
