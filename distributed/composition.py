"""Hydra begins and ends here: the configs of ``conf/`` and a command line become settings, or one line of error.

Hydra's own entry point composes twice (once to learn whether the run is a sweep, once for the run), .25 s of CPU each;
its compose function does it once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TypeVar, get_args

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from distributed.configuration import register, setting_names, settings_from
from distributed.errors import UserError
from distributed.overrides import quoted_texts
from distributed.presets import with_preset
from distributed.settings import ClusterSettings
from distributed.sources.settings import SourceSettings
from distributed.store.settings import StoreSettings
from distributed.suggestions import did_you_mean

Settings = TypeVar("Settings")


def composed(config_name: str, settings_class: type[Settings], arguments: Sequence[str]) -> Settings:
    """The settings that ``conf/<config_name>.yaml`` and the overrides in ``arguments`` come to.

    Configs are found through the ``conf`` package, so that the command works from any folder and from a wheel. The YAML
    files name the schemas registered here, so that Hydra refuses wrong keys and types. Hydra's own flags work
    (``--cfg job``, ``--config-dir``); those that only print end the process.

    Raises:
        UserError: a wrong key, type, choice or preset, or ``--multirun``.
    """
    register(f"{config_name}_schema", settings_class)
    for source in get_args(SourceSettings):
        register(f"{source.kind}_schema", source, group="source")
    register("store_schema", StoreSettings, group="store")
    register("cluster_schema", ClusterSettings, group="cluster")
    _refuse_sweeps(arguments)
    arguments = quoted_texts(with_preset(arguments, config_name, settings_class), settings_class)
    has_flags = any(argument.startswith("-") for argument in arguments)
    try:
        config = _by_main(config_name, arguments) if has_flags else _by_compose(config_name, arguments)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{told_in_one_line(error, settings_class)} (all settings: --help)") from error
    return settings_from(config, settings_class)


def _refuse_sweeps(arguments: Sequence[str]) -> None:
    """A sweep's runs would write over each other's results, and Hydra would forget all but one exit code."""
    for each in arguments:
        # Hydra takes a flag's beginning for the flag.
        is_flag = each == "-m" or (len(each) > 2 and "--multirun".startswith(each))
        if is_flag or each == "hydra.mode=MULTIRUN":
            raise UserError(
                f"{each}: there are no sweeps: run the command once for each value, each into its own folder"
            )


def _by_compose(config_name: str, overrides: Sequence[str]) -> DictConfig:
    with hydra.initialize_config_module(version_base=None, config_module="conf"):
        return hydra.compose(config_name, list(overrides))


def _by_main(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """As Hydra's own entry point, which reads ``sys.argv``, does it."""
    found: list[DictConfig] = []
    sys.argv[1:] = arguments
    # Hydra would print its errors itself, over several lines; with this it raises them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    hydra.main(version_base=None, config_path="pkg://conf", config_name=config_name)(found.append)()
    if not found:
        raise SystemExit(0)  # a flag that only prints
    return found[0]


#: Lines of Hydra's and OmegaConf's messages that tell a user nothing.
_NOISE = re.compile(
    r"full_key:|object_type=|reference_type=|To append to your|Config search path|provider=|See http|3\. To sweep over"
)


def told_in_one_line(error: HydraException | OmegaConfBaseException, settings_class: type) -> str:
    """What a composition error says to a user, with its cause and what may be meant, schemas and types left out."""
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
    text = re.sub(r"(Available options in '\w+':): (.+)", lambda m: f"{m[1]} {m[2].replace(': ', ', ')}", text)
    return text + _meant(error, text, settings_class)


def _meant(error: HydraException | OmegaConfBaseException, text: str, settings_class: type) -> str:
    """The setting, choice or value nearest to the wrong one."""
    if isinstance(error, MissingConfigException):
        return did_you_mean((error.missing_cfg_file or "").rpartition("/")[2], error.options or ())
    if wrong := re.search(r"Invalid value '(.*)', expected one of \[(.*)\]", text):
        return did_you_mean(wrong[1], wrong[2].split(", "))
    if wrong := re.search(r"override (\S+?)=(.*?): .* is not a ListConfig", text):
        return f"; write {wrong[1]}=[{wrong[2]}]"
    if wrong := re.search(r"Could not override '(.*?)': there is no setting", text):
        return _meant_setting(wrong[1], settings_class)
    return ""


def _meant_setting(name: str, settings_class: type) -> str:
    known = setting_names(settings_class)
    if name in known:
        return f"; it is a setting of {' and '.join(known[name])}"
    elsewhere = [each for each in known if each.rpartition(".")[2] == name]
    return did_you_mean(elsewhere[0] if elsewhere else name, known)
