"""``filter-shift extract|shift|…``: every command under one name, with the same overrides as by itself."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

from distributed.entry import USAGE, guarded, print_anywhere, show_help, summary
from distributed.suggestions import did_you_mean

#: Command → its entry point. What it is for stands in the first line of ``conf/<command>.yaml``.
COMMANDS = {
    "extract": "launch.extract:main",
    "shift": "analysis.shift.__main__:main",
    "structure": "analysis.structure.__main__:main",
    "quality": "analysis.quality.__main__:main",
    "coefficients": "analysis.coefficients.__main__:main",
    "compare": "analysis.compare.__main__:main",
    "pairs": "analysis.pairs.__main__:main",
    "partition": "analysis.partition.__main__:main",
    "labels": "analysis.labels.__main__:main",
    "lineage": "analysis.lineage.__main__:main",
    "report": "analysis.report.__main__:main",
    "replicate": "analysis.replicate.__main__:main",
    "store": "distributed.upkeep.command:main",
    "export": "analysis.export.__main__:main",
}


def main() -> None:
    """Entry point: hand ``sys.argv`` on to the command that it names, then exit."""
    print_anywhere()
    script, name = sys.argv[0], "".join(sys.argv[1:2])
    if name in ("", "--help", "-h"):
        show_help(listing(Path(script).name))
    if name not in COMMANDS:
        meant = did_you_mean(name, COMMANDS)
        print(f"error: there is no command {name!r}{meant} (all commands: --help)", file=sys.stderr)
        sys.exit(USAGE)
    sys.argv[:2] = [f"{script} {name}"]
    sys.exit(guarded(lambda: pkgutil.resolve_name(COMMANDS[name])()))


def listing(script: str) -> str:
    """The commands, a line each."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"    {name:{width}}  {summary(name)}" for name in COMMANDS)
    return f"{script} <command> [setting=value …]\n\n{commands}\n\nA command's settings: {script} <command> --help"
