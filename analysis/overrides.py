"""SQL on the command line: Hydra's override grammar has no place for ``where=task = 'Segmentation'``, users do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def quoted_condition(arguments: Sequence[str]) -> list[str]:
    """The command line with the value of ``where=…`` quoted for Hydra, unless Hydra reads it as it is.

    So ``where="task = 'Segmentation' and conv_depth > 0"`` works as typed in a shell, and so does a value that already
    carries Hydra's own quotes.
    """
    return [_quoted(argument) if argument.startswith("where=") else argument for argument in arguments]


def _quoted(argument: str) -> str:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        value = argument.removeprefix("where=").replace("${", r"\${")  # no interpolation: it is SQL
        # In Hydra's quotes a quote is escaped by \, and so is each \ directly before it.
        escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), value)
        return f"where='{escaped}'"
    return argument
