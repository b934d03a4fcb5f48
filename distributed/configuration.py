"""Composed configs become frozen, typed settings.

The settings dataclasses are frozen; OmegaConf would make a config of a frozen class read-only, overrides included. So
the schemas given to Hydra are unfrozen twins made from the same fields, and there is one definition of each setting.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distributed.errors import UserError
from distributed.name_patterns import Patterns
from distributed.suggestions import did_you_mean

Settings = TypeVar("Settings")


@functools.cache
def schema_of(settings_class: type) -> type:
    """The unfrozen twin of a frozen settings dataclass, for ``ConfigStore``; nested dataclasses likewise.

    A union of dataclasses (the kinds of source) becomes ``Any``: each kind's own group schema types it.
    """
    hints = typing.get_type_hints(settings_class)
    fields: list[tuple[str, Any, Any]] = []
    for each in dataclasses.fields(settings_class):
        kind, default = hints[each.name], _schema_default(each)
        if dataclasses.is_dataclass(kind):
            kind = schema_of(typing.cast(type, kind))
            default = dataclasses.field(default_factory=kind)
        elif _dataclasses_of(kind):
            kind = Any
            default = "???"
        elif kind == Patterns:
            kind = Any
        fields.append((each.name, kind, default))
    return dataclasses.make_dataclass(f"{settings_class.__name__}Schema", fields)


def _schema_default(each: dataclasses.Field[Any]) -> Any:
    if each.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=each.default_factory)
    if each.default is not dataclasses.MISSING:
        return each.default
    return "???"  # OmegaConf's mark of a value that must be given


def _dataclasses_of(kind: Any) -> tuple[type, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(a for a in typing.get_args(kind) if dataclasses.is_dataclass(a) and isinstance(a, type))
    return ()


def register(name: str, settings_class: type, *, group: str | None = None) -> None:
    """Make ``settings_class`` the schema ``name`` (of ``group``) that a YAML file names in its defaults list."""
    ConfigStore.instance().store(name=name, group=group, node=schema_of(settings_class))


def setting_names(settings_class: type, prefix: str = "", choice: str = "") -> dict[str, list[str]]:
    """Every setting by its name on a command line (``extract.retry``) → the choices it belongs to (``source=local``).

    Groups count as settings. Those of no choice (``extract.retry``) have an empty list.
    """
    found: dict[str, list[str]] = {}
    hints = typing.get_type_hints(settings_class)
    for each in dataclasses.fields(settings_class):
        name, kind = prefix + each.name, hints[each.name]
        found[name] = [choice] if choice else []
        union = _dataclasses_of(kind)
        for inner in union or ((kind,) if dataclasses.is_dataclass(kind) and isinstance(kind, type) else ()):
            chosen = f"{name}={inner.kind}" if union else choice  # type: ignore[attr-defined]
            for deeper, choices in setting_names(inner, f"{name}.", chosen).items():
                found[deeper] = found.get(deeper, []) + choices
    return found


def settings_from(config: DictConfig, settings_class: type[Settings]) -> Settings:
    """The frozen settings of a composed config.

    Raises:
        UserError: a mandatory value is missing (the message names it) or an interpolation fails.
    """
    try:
        content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=False)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or str(error).splitlines()[0]
        raise UserError(f"{key} is not set: give it on the command line, {key}=…") from error
    assert isinstance(content, Mapping)
    return _build(settings_class, typing.cast(Mapping[str, Any], content))


def settings_of(settings_class: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings from Python, their values checked and converted as those of a command line are; the rest is default.

    Raises:
        UserError: a value is not of its setting's type, or none of its choices.
    """
    hints = typing.get_type_hints(settings_class)
    given = {name: value for name, value in values.items() if not dataclasses.is_dataclass(value)}
    config = OmegaConf.structured(schema_of(typing.cast(type, settings_class)))
    for name, value in given.items():
        try:
            OmegaConf.update(config, name, list(value) if isinstance(value, tuple) else value)
        except OmegaConfBaseException as error:
            kind = hints[name]
            choices = list(kind) if isinstance(kind, type) and issubclass(kind, enum.Enum) else []
            reason = f"choose one of {', '.join(map(str, choices))}" if choices else str(error).splitlines()[0]
            raise UserError(f"{name}={value!r}: {reason}") from error
    plain = {name: _convert(hints[name], OmegaConf.to_container(config)[name], name) for name in given}  # type: ignore[call-overload,index]
    return settings_class(**{**values, **plain})


def _build(settings_class: type[Settings], content: Mapping[str, Any]) -> Settings:
    hints = typing.get_type_hints(settings_class)
    unknown = content.keys() - hints.keys()
    if unknown:
        # Hydra lets +name=value add what the schema doesn't know; nothing here would ever read it.
        raise UserError(
            f"there is no setting {', '.join(sorted(unknown))!r}; there are: {', '.join(hints)}"
            f"{did_you_mean(min(unknown), hints)}"
        )
    values: dict[str, Any] = {}
    for each in dataclasses.fields(typing.cast(Any, settings_class)):
        if each.name in content:
            values[each.name] = _convert(hints[each.name], content[each.name], each.name)
    return settings_class(**values)


def _convert(kind: Any, value: Any, name: str) -> Any:
    union = _dataclasses_of(kind)
    if union and isinstance(value, Mapping):
        by_kind = {cls.kind: cls for cls in union}  # type: ignore[attr-defined]
        chosen = by_kind.get(value.get("kind"))
        if chosen is None:
            raise UserError(f"unknown kind {value.get('kind')!r}; there are: {', '.join(sorted(by_kind))}")
        return _build(chosen, value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build(kind, value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and not isinstance(value, kind):
        return kind(value)
    if kind == Patterns:
        texts = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise UserError(f"{name}={value}: expected a text, or several in brackets: [a*,b*]")
        return tuple(text for text in texts if text)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(value)
    return value
