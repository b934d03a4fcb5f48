"""``python -m launch.lock > launch/requirements.lock``: the installed versions of all that the project needs to run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def needed() -> Iterator[Requirement]:
    """What ``pyproject.toml`` asks for on a cluster: its dependencies and those of ``ray up``."""
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    yield from map(Requirement, (*project["dependencies"], *project["optional-dependencies"]["aws"]))


def closure() -> dict[str, str]:
    """Name → installed version, of what is needed and of all that it needs in turn, on this kind of machine.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed.
    """
    versions: dict[str, str] = {}
    waiting, seen = list(needed()), set[tuple[str, frozenset[str]]]()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        versions[name] = distribution.version
        inner = map(Requirement, distribution.requires or ())
        asked = [{"extra": extra} for extra in (*extras, "")]
        waiting += [each for each in inner if each.marker is None or any(map(each.marker.evaluate, asked))]
    return dict(sorted(versions.items()))


if __name__ == "__main__":
    header = [
        line for line in (_PROJECT.parent / "launch/requirements.lock").read_text().splitlines() if line[0] == "#"
    ]
    print(*header, *(f"{name}=={version}" for name, version in closure().items()), sep="\n")
