"""Presets: settings under one name, as publications have them. Each is a file of ``conf/preset/`` that anyone can read.

A file holds settings by their names on a command line. Those that a command does not have are passed over; those in a
mapping that is named like a command are of that command alone, and go before the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import yaml

from distributed.configuration import setting_names
from distributed.errors import UserError
from distributed.suggestions import did_you_mean

#: On a command line: ``preset=NAME``.
SETTING = "preset"


def preset_names() -> list[str]:
    """All presets there are."""
    files = (resources.files("conf") / SETTING).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The file of a preset.

    Raises:
        UserError: there is none of this name.
    """
    if name not in (names := preset_names()):
        raise UserError(f"{SETTING}={name}: there are {', '.join(names)}{did_you_mean(name, names)}")
    return (resources.files("conf") / SETTING / f"{name}.yaml").read_text(encoding="utf-8")


def preset_settings(name: str, command: str, settings_class: type) -> dict[str, Any]:
    """What a preset says of the settings of ``command``.

    Raises:
        UserError: there is no such preset, or it says nothing of this command.
    """
    content: dict[str, Any] = yaml.safe_load(preset_text(name))
    known = setting_names(settings_class)
    shared = {key: value for key, value in content.items() if not isinstance(value, dict)}
    found = {key: value for key, value in (shared | content.get(command, {})).items() if key in known}
    if not found:
        raise UserError(f"{SETTING}={name} says nothing of {command}: leave it out")
    return found


def with_preset(arguments: Sequence[str], command: str, settings_class: type) -> list[str]:
    """A command line with what its ``preset=NAME`` stands for in its place, before the others, which win.

    Raises:
        UserError: see ``preset_settings``; or two presets are named.
    """
    begins = f"{SETTING}="
    named = [argument.removeprefix(begins) for argument in arguments if argument.startswith(begins)]
    if not named:
        return list(arguments)
    if len(named) > 1:
        raise UserError(f"{SETTING} is given {len(named)} times: {', '.join(named)}; give one")
    settings = preset_settings(named[0], command, settings_class)
    own = [argument for argument in arguments if not argument.startswith(begins)]
    # Not those that are typed as well: Hydra takes no setting twice from a list that it merges.
    typed = {argument.partition("=")[0] for argument in own}
    return [*(f"{key}={_as_typed(value)}" for key, value in settings.items() if key not in typed), *own]


def _as_typed(value: Any) -> str:
    return f"[{','.join(map(_as_typed, value))}]" if isinstance(value, list) else yaml.safe_dump(value).split("\n")[0]
