"""Fonts for names of any script: which installed families cover a text, and what to draw where none does."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

#: Comes with matplotlib, so it is always there; covers Latin, Greek, Cyrillic, Arabic, Hebrew and most symbols.
BASE_FAMILY = "DejaVu Sans"


@dataclass(frozen=True, slots=True)
class Fonts:
    """Attributes:
    families: to be tried in this order, glyph by glyph.
    missing: characters that no installed font has.
    """

    families: tuple[str, ...]
    missing: frozenset[str]

    def drawable(self, text: str) -> str:
        """``text`` with every character that no font has as its code, ``\\uNNNN``: two names never look the same."""
        return "".join(
            character.encode("unicode_escape").decode("ascii") if character in self.missing else character
            for character in text
        )


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Installed families that together cover as many characters of ``texts`` as can be."""
    base = font_manager.findfont(BASE_FAMILY)
    missing = {character for text in texts for character in text if ord(character) not in _characters(base)}
    families = [BASE_FAMILY]
    for entry in (
        sorted(font_manager.fontManager.ttflist, key=lambda entry: (entry.name, entry.fname)) if missing else []
    ):
        if entry.style != "normal" or "Last Resort" in entry.name:  # whose glyphs are pictures of "no glyph"
            continue
        covered = {character for character in missing if ord(character) in _characters(entry.fname)}
        if covered:
            families.append(entry.name)
            missing -= covered
        if not missing:
            break
    return Fonts(tuple(families), frozenset(missing))


@functools.lru_cache(maxsize=512)
def _characters(path: str) -> frozenset[int]:
    return frozenset(FT2Font(path).get_charmap())
