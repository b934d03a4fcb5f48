"""What every command shares: composing its config, one-line errors, exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

import hydra
from omegaconf import DictConfig

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

    hydra.main(version_base=None, config_path="pkg://conf", config_name=config_name)(main)()


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
