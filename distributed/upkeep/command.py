"""The command ``store``: the action is its first word, settings follow as everywhere."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from distributed.entry import USAGE, print_anywhere, run_command, show_help
from distributed.suggestions import did_you_mean

#: Action → (its settings, what it does, in words).
ACTIONS = {
    "runs": ("distributed.upkeep.settings:Look", "distributed.upkeep.runs:show", "the runs and how they ended"),
    "stats": ("distributed.upkeep.settings:Look", "distributed.upkeep.stats:show", "what is there, in numbers"),
    "verify": (
        "distributed.upkeep.settings:Verify",
        "distributed.upkeep.verify:verify",
        "every model's counts and moments against its rows",
    ),
    "compact": ("distributed.upkeep.settings:Compact", "distributed.upkeep.compact:compact", "merge small files"),
    "gc": (
        "distributed.upkeep.settings:CollectGarbage",
        "distributed.upkeep.garbage:collect",
        "remove what dead runs left",
    ),
}


def main() -> None:
    """Entry point: the action that ``sys.argv`` names, then exit."""
    print_anywhere()
    script, name = sys.argv[0], "".join(sys.argv[1:2])
    if name in ("", "--help", "-h"):
        width = max(map(len, ACTIONS))
        actions = "\n".join(f"    {each:{width}}  {words}" for each, (*_, words) in ACTIONS.items())
        usage = "python -m distributed.store <action> uri=… [setting=value …]"
        show_help(f"{usage}\n\n{actions}\n\nAn action's settings: python -m distributed.store <action> --help")
    if name not in ACTIONS:
        print(f"error: there is no action {name!r}{did_you_mean(name, ACTIONS)} (all: --help)", file=sys.stderr)
        sys.exit(USAGE)
    settings, action, _ = ACTIONS[name]
    sys.argv[:2] = [f"{script} {name}"]
    run_command("store", lambda: _class(settings), lambda chosen: _function(action)(chosen))


def _class(name: str) -> type[Any]:
    found: type[Any] = pkgutil.resolve_name(name)
    return found


def _function(name: str) -> Callable[[Any], int]:
    found: Callable[[Any], int] = pkgutil.resolve_name(name)
    return found
