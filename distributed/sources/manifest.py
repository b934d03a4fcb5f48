"""``manifest.yaml``: what someone wrote down about a folder of checkpoints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from distributed.errors import SourceError
from distributed.references import METADATA_FIELDS
from distributed.sources.metadata import Facts, text_of, yaml_problem
from distributed.suggestions import did_you_mean

#: Keys of an entry beside the metadata. ``origin`` is where the file itself was published.
_OWN_KEYS = ("file", "name", "origin", "sha256", "builder")

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One model of a manifest.

    Attributes:
        file: normalised path relative to the folder.
        name: as given, else the file's name without suffix.
        facts: metadata, and under ``file`` the origin of the checkpoint.
        sha256: lower-case digest of the file, or None.
        builder: see ``ModelReference.builder``.
    """

    file: str
    name: str
    facts: Facts
    sha256: str | None
    builder: str | None


def read_manifest(path: Path) -> list[ManifestEntry]:
    """The entries of a manifest, in its order; whether the files exist is not looked at.

    Raises:
        SourceError: it cannot be read, is malformed, has an unknown key, or names a file or a model twice.
    """
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such manifest") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SourceError(f"{path}: malformed YAML, {yaml_problem(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("models"), list):
        raise SourceError(f"{path}: expected a mapping with the list 'models', one entry per checkpoint")
    if unknown := [str(key) for key in content if key != "models"]:
        raise SourceError(f"{path}: unknown key {', '.join(unknown)} beside 'models'")
    entries = [_entry(item, f"{path}: entry {i}", path.name) for i, item in enumerate(content["models"], 1)]
    _refuse_twice([entry.name for entry in entries], path, "name")
    _refuse_twice([entry.file for entry in entries], path, "file")
    return entries


def _entry(item: Any, place: str, origin: str) -> ManifestEntry:
    if not isinstance(item, dict):
        raise SourceError(f"{place}: expected a mapping with the key 'file'")
    known = (*_OWN_KEYS, *METADATA_FIELDS)
    if unknown := [str(key) for key in item if key not in known]:
        meant = did_you_mean(unknown[0], known)
        raise SourceError(f"{place}: unknown key {', '.join(unknown)}; known are {', '.join(known)}{meant}")
    values: dict[str, str] = {}
    for key, value in item.items():
        if isinstance(value, dict):
            raise SourceError(f"{place}: {key} is a mapping, expected text")
        text = text_of(value)
        if text is not None and (key == "name" or text not in ("null", "~")):
            values[key] = text
    if "file" not in values:
        raise SourceError(f"{place}: 'file' is missing")
    digest = values.get("sha256")
    if digest is not None and not _SHA256.fullmatch(digest):
        raise SourceError(f"{place} ({values['file']}): sha256 must be 64 hexadecimal digits, found {digest[:80]!r}")
    builder = values.get("builder")
    if builder is not None and not builder.startswith(("timm:", "samples:")):
        raise SourceError(f"{place} ({values['file']}): builder must be timm:<architecture>, found {builder[:80]!r}")
    file = _normalised(values["file"], place)
    facts: Facts = {key: (values[key], origin) for key in METADATA_FIELDS if key in values}
    if "origin" in values:
        facts["file"] = (file, values["origin"])
    name = values.get("name") or PurePosixPath(file).stem
    return ManifestEntry(file, name, facts, digest.lower() if digest else None, builder)


def _normalised(file: str, place: str) -> str:
    parts: list[str] = []
    for part in PurePosixPath(file).parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    if file.startswith("/") or ".." in parts or not parts:
        raise SourceError(f"{place}: file {file!r} lies outside the folder; give a path within it")
    return "/".join(parts)


def _refuse_twice(values: list[str], path: Path, key: str) -> None:
    seen: dict[str, int] = {}
    for number, value in enumerate(values, 1):
        if value in seen:
            raise SourceError(f"{path}: entries {seen[value]} and {number} have the same {key}, {value}")
        seen[value] = number
