"""Texts on the command line as typed in a shell: Hydra's override grammar has no place for most paths and for SQL."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def quoted_texts(arguments: Sequence[str], settings_class: type) -> list[str]:
    """The command line with the values of text settings quoted for Hydra, unless it reads them as they are.

    So ``where="task = 'Segmentation' and conv_depth > 0"`` and ``out="runs/a=1 [b]"`` work as typed in a shell, and so
    does a value that already carries Hydra's own quotes. ``null`` stays null.
    """
    names = set(_text_settings(settings_class))
    return [_quoted(argument) if argument.partition("=")[0] in names else argument for argument in arguments]


def _text_settings(settings_class: type, prefix: str = "") -> Iterator[str]:
    """Names of the settings that hold one text, as on the command line: ``where``, ``store.uri``."""
    for name, kind in typing.get_type_hints(settings_class).items():
        union = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
        if str in union and not any(typing.get_origin(part) is tuple for part in union):
            yield prefix + name
        for part in union:
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                yield from _text_settings(part, f"{prefix}{name}.")


def _quoted(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if not equals:
        return argument
    try:
        read = OverridesParser.create().parse_override(argument).value()
    except HydraException:
        pass
    else:
        if read is None or (isinstance(read, str) and (read == value or value[0] in "'\"")):
            return argument
    text = value.replace("${", r"\${")  # no interpolation: it is SQL, or a name
    # In Hydra's quotes a quote is escaped by \, and so is each \ directly before it.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), text)
    return f"{name}='{escaped}'"
