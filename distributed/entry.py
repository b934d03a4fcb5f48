"""What every command shares: its help, one-line errors, exit codes.

Nothing but the standard library is imported here: help is printed, and Ctrl-C understood, before Hydra, torch or a
command's own modules are loaded.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import re
import sys
from collections.abc import Callable
from importlib import resources
from typing import NoReturn, TypeVar

from distributed import interrupt
from distributed.errors import FilterShiftError, UserError
from distributed.setting import settings_in_words

Settings = TypeVar("Settings")

#: Exit codes: 0 well; 1 some models failed; 2 the request itself can't be done; 130 interrupted.
OK, FAILURES, USAGE, INTERRUPTED = 0, 1, 2, 130


def run_command(config_name: str, load: Callable[[], type[Settings]], body: Callable[[Settings], int]) -> None:
    """Run a command with the settings composed from ``conf/<config_name>.yaml`` and ``sys.argv``, then exit.

    Errors raised on purpose end as one line on standard error; anything else is a defect and shows its stack.

    Args:
        config_name: of the YAML file.
        load: imports and gives the class of the settings.
        body: the command itself, which imports what it needs; returns the exit code.
    """
    print_anywhere()
    interrupt.take_sigterm()
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.exit(guarded(lambda: show_help(help_text(config_name, load()))))
    # The collector visits what imports leave (a million objects, nearly all for good) again and again while they run,
    # and several times at the end: a tenth of a short command's CPU each.
    gc.set_threshold(50_000)
    code = guarded(lambda: _run(config_name, load(), body))
    gc.freeze()
    sys.exit(code)


def print_anywhere() -> None:
    """Nothing that is printed from here on ends in an error because a terminal has no such character (…, →)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _run(config_name: str, settings_class: type[Settings], body: Callable[[Settings], int]) -> int:
    from distributed import lean_imports
    from distributed.composition import composed  # Hydra takes a third of a second to import

    settings = composed(config_name, settings_class, sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for chatty in ("httpx", "httpx2"):  # a line for each request
        logging.getLogger(chatty).setLevel(logging.WARNING)
    lean_imports.begin()
    return body(settings)


def show_help(text: str) -> NoReturn:
    """Print a help text and exit."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # | head -1: the reader has what it wanted, and Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(OK)


def help_text(config_name: str, settings_class: type) -> str:
    """Every setting, its default and its meaning, from where they are defined: there is no second list.

    Those of the command stand in its settings class (``distributed.setting``), those of groups in commented configs.
    """
    folder = resources.files("conf")
    parts = [(folder / f"{config_name}.yaml").read_text(encoding="utf-8").split("\nhydra:")[0]]
    parts += settings_in_words(settings_class)
    groups = re.findall(r"^  - (\w+): \w+", parts[0], re.MULTILINE)
    for group in groups:
        for choice in sorted((folder / group).iterdir(), key=lambda entry: entry.name):
            if choice.name.endswith(".yaml"):
                text = choice.read_text(encoding="utf-8")
                title = f"{group}={choice.name.removesuffix('.yaml')}"
                parts.append(f"--- {title}: settings are {group}.<name>=…\n{text}")
    for preset in sorted((folder / "preset").iterdir(), key=lambda entry: entry.name):
        if preset.name.endswith(".yaml"):
            title = preset.read_text(encoding="utf-8").partition("\n")[0]
            parts.append(f"--- preset={preset.name.removesuffix('.yaml')}: {title.removeprefix('# ')}")
    shown = [
        line for part in parts for line in part.splitlines() if not re.search(r"_schema|_self_|override hydra", line)
    ]
    return "\n".join(shown)


def summary(config_name: str) -> str:
    """What a command is for: the first line of its config."""
    text = (resources.files("conf") / f"{config_name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].removeprefix("# ")


def guarded(body: Callable[[], int]) -> int:
    """The exit code of ``body``; errors raised on purpose become one line on standard error."""
    try:
        return body()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except FilterShiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILURES
    except KeyboardInterrupt:
        print(interrupt.INTERRUPTED, file=sys.stderr)
        return INTERRUPTED
