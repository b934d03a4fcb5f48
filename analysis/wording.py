"""Names that come from model cards and file names, made fit to be shown on one line of a picture or a terminal."""

from __future__ import annotations

import math
import unicodedata


def one_line(text: str) -> str:
    """``text`` without line breaks and invisible control characters; white space becomes single blanks.

    Control characters (terminal escapes, direction marks) are shown as ``\\xNN`` or ``\\uNNNN``, never sent on.
    """
    shown = "".join(
        character
        if character.isspace() or unicodedata.category(character)[0] != "C"
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )
    return " ".join(shown.split()) or "(empty)"


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
