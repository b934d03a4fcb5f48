"""What every analysis command does: settings → measure → write → show.

A command is a folder ``analysis/<name>/`` with ``settings`` (its dataclass), ``measure`` (``measure(settings,
view=None) -> Result``, which writes nothing but the sketch that the store keeps), ``files`` (``write(result, folder)
-> list[Path]``) and ``terminal`` (``show(result, paths, console)``), tied together by its ``__main__``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from distributed.entry import OK, run_command
from distributed.lean_imports import import_matplotlib

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.settings import ViewSettings

S = TypeVar("S", bound="ViewSettings")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Analysis(Generic[S, R]):
    """The three steps of a command.

    Before them ``preview``, where a command has one: it shows what settings ask to look at only, and says whether it
    did; nothing else is done then.
    """

    measure: Callable[[S], R]
    write: Callable[[R, Path], list[Path]]
    show: Callable[[R, list[Path], Console], None]
    preview: Callable[[S, Console], bool] = lambda *_: False


def run(name: str, load: Callable[[], type[S]], steps: Callable[[], Analysis[S, R]]) -> None:
    """Run the command ``name`` with the settings of the command line, then exit.

    Args:
        name: of the command and of its config.
        load: imports and gives the class of its settings.
        steps: imports and gives what it does.
    """
    os.environ["MPLBACKEND"] = "agg"  # nothing is shown in a window; matplotlib refuses to load with an unknown one

    def body(settings: S) -> int:
        import_matplotlib()
        return carry_out(steps(), settings)

    run_command(name, load, body)


def carry_out(analysis: Analysis[S, R], settings: S) -> int:
    """Measure, write into ``settings.out``, and say it on standard output; returns the exit code.

    Raises:
        UserError: see the command's ``measure``; or ``settings.out`` cannot be written.
    """
    from rich.console import Console

    from analysis.output.names import results_folder

    console = Console(highlight=False)
    if analysis.preview(settings, console):
        return OK
    with results_folder(settings.out) as folder:
        result = analysis.measure(settings)
        paths = analysis.write(result, folder)
    analysis.show(result, paths, console)
    return OK
