"""What every command shares: composing its config, one-line errors, exit codes."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from importlib import resources
from typing import TypeVar

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from distributed.configuration import register, settings_from
from distributed.errors import FilterShiftError, UserError
from distributed.settings import ClusterSettings
from distributed.sources.settings import HubSettings, LocalSettings, SampleSettings, TimmSettings
from distributed.store.settings import StoreSettings

Settings = TypeVar("Settings")

#: Exit codes: 0 well; 1 some models failed; 2 the request itself can't be done; 130 interrupted.
OK, FAILURES, USAGE, INTERRUPTED = 0, 1, 2, 130


def command(config_name: str, settings_class: type[Settings], body: Callable[[Settings], int]) -> None:
    """Run ``body`` with the settings composed from ``conf/<config_name>.yaml`` and the command line, then exit.

    Configs are found through the ``conf`` package, so that the command works from any folder and from a wheel. The YAML
    files name the schemas registered here, so that Hydra refuses wrong keys and types. Errors raised on purpose end as
    one line on standard error; anything else is a defect and shows its stack.
    """
    register(f"{config_name}_schema", settings_class)
    for source in (SampleSettings, LocalSettings, TimmSettings, HubSettings):
        register(f"{source.kind}_schema", source, group="source")
    register("store_schema", StoreSettings, group="store")
    register("cluster_schema", ClusterSettings, group="cluster")

    def main(config: DictConfig) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
        for chatty in ("httpx", "httpx2"):  # a line for each request
            logging.getLogger(chatty).setLevel(logging.WARNING)
        sys.exit(guarded(lambda: body(settings_from(config, settings_class))))

    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(config_name))
        sys.exit(OK)
    # Hydra would print its errors itself, over several lines; with this it raises them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base=None, config_path="pkg://conf", config_name=config_name)(main)()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {in_one_line(error)} (all settings: --help)", file=sys.stderr)
        sys.exit(USAGE)


def help_text(config_name: str) -> str:
    """The commented configs themselves: every setting, its default and its meaning, there is no second list."""
    folder = resources.files("conf")
    parts = [(folder / f"{config_name}.yaml").read_text(encoding="utf-8").split("\nhydra:")[0]]
    groups = re.findall(r"^  - (\w+): \w+", parts[0], re.MULTILINE)
    for group in groups:
        for choice in sorted((folder / group).iterdir(), key=lambda entry: entry.name):
            if choice.name.endswith(".yaml"):
                text = choice.read_text(encoding="utf-8")
                title = f"{group}={choice.name.removesuffix('.yaml')}"
                parts.append(f"--- {title}: settings are {group}.<name>=…\n{text}")
    shown = [
        line for part in parts for line in part.splitlines() if not re.search(r"_schema|_self_|override hydra", line)
    ]
    return "\n".join(shown)


#: Lines of Hydra's and OmegaConf's messages that tell a user nothing.
_NOISE = re.compile(r"full_key:|object_type=|reference_type=|To append to your|Config search path|provider=|See http")


def in_one_line(error: HydraException | OmegaConfBaseException) -> str:
    """What a composition error says to a user, with its cause, schemas and types left out."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        for line in str(cause).splitlines():
            line = line.strip().rstrip(".")
            if line and line not in told and not _NOISE.search(line) and not line.endswith("_schema"):
                told.append(line)
        cause = cause.__cause__
    text = ": ".join(told) or type(error).__name__
    text = re.sub(r"('[^']+') not in '\w+Schema'", r"there is no setting \1", text.replace("Key ", ""))
    return re.sub(r"(Available options in '\w+':): (.+)", lambda m: f"{m[1]} {m[2].replace(': ', ', ')}", text)


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
        print("interrupted: what was finished is in the store; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
