"""Names that come from model cards and file names, made fit to be shown on one line of a picture or a terminal."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

#: Characters of a name in a note or an error.
_LONGEST_IN_SENTENCE = 80

#: Names in a note before it only counts.
_NAMED = 10


def one_line(text: str) -> str:
    """``text`` without line breaks and invisible control characters; white space becomes single blanks.

    Control characters (terminal escapes, direction marks) are shown as ``\\xNN`` or ``\\uNNNN``, never sent on.
    """
    if text.isprintable():  # no other white space than blanks, no control character
        return " ".join(text.split()) or "(empty)"
    shown = "".join(
        character
        if character.isspace() or unicodedata.category(character)[0] != "C"
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )
    return " ".join(shown.split()) or "(empty)"


def shown(text: str) -> str:
    """``one_line`` of a name inside a sentence: a very long one loses its middle."""
    return elide(one_line(text), _LONGEST_IN_SENTENCE)


def listed(names: Sequence[str]) -> str:
    """The first of ``names`` for a note, and … where there are more."""
    return ", ".join(shown(name) for name in names[:_NAMED]) + (" …" if len(names) > _NAMED else "")


def shown_apart(names: Sequence[str]) -> list[str]:
    """``one_line`` of each; names that would look the same with what differs between them written out.

    Two names look the same where they differ by white space or by Unicode normal form alone.
    """
    plain = [one_line(name) for name in names]
    often = Counter(unicodedata.normalize("NFKC", each) for each in plain)
    return [
        each if often[unicodedata.normalize("NFKC", each)] == 1 else _written_out(name)
        for name, each in zip(names, plain, strict=True)
    ]


def _written_out(name: str) -> str:
    """Unusual white space and characters that have other forms as their codes."""
    spaced = re.sub(r"^\s|\s$|(?<=\s)\s|[^\S ]", lambda found: _code(found[0]), name)
    return "".join(_code(c) if ord(c) > 127 and not _is_plain(c) else c for c in spaced)


def _is_plain(character: str) -> bool:
    return unicodedata.combining(character) == 0 and all(
        unicodedata.is_normalized(form, character) for form in ("NFD", "NFKC")
    )


def _code(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def elide(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters (at least 3), its middle replaced by … if it is longer.

    Both ends stay: names of one family differ at the end, families at the beginning.
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail].rstrip() + "…" + text[len(text) - tail :].lstrip()


def count(number: int, noun: str) -> str:
    """``1 model``, ``1,300 models``: a number with its noun, digits in groups of three."""
    plural = noun if number == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {plural}"


def decimals_of(largest: float) -> int:
    """How many decimals show a matrix whose largest entry is ``largest``: three digits of it, at least 2, at most 5."""
    return min(5, max(2, 2 - math.floor(math.log10(largest)))) if largest > 0 else 2
