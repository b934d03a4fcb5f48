"""What every analysis command does: settings → measure → write → show.

A command is a folder ``analysis/<name>/`` with ``settings`` (its dataclass), ``measure`` (``measure(settings,
view=None) -> Result``, which writes nothing but the sketch that the store keeps), ``files`` (``write(result, folder)
-> list[Path]``) and ``terminal`` (``show(result, paths, console)``), tied together by its ``__main__``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from analysis.settings import GroupSettings

if TYPE_CHECKING:
    from rich.console import Console

S = TypeVar("S", bound=GroupSettings, contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Measure(Protocol[S, R_co]):
    """Raises ``UserError`` where what was asked for cannot be done, known before any filter is read."""

    def __call__(self, settings: S) -> R_co: ...


@dataclass(frozen=True, slots=True)
class Analysis(Generic[S, R]):
    """The three steps of a command."""

    measure: Measure[S, R]
    write: Callable[[R, Path], list[Path]]
    show: Callable[[R, list[Path], Console], None]


def run(name: str, settings_class: type[S], steps: Callable[[], Analysis[S, R]]) -> None:
    """Run the command ``name`` with the settings of the command line, then exit.

    Args:
        name: of the command and of its config.
        settings_class: its settings.
        steps: imports what the command needs, once it is known that more than ``--help`` is asked for.
    """
    from distributed.entry import OK, command

    def body(settings: S) -> int:
        from rich.console import Console

        from analysis.output.names import writable_folder

        analysis = steps()
        folder = writable_folder(settings.out)
        result = analysis.measure(settings)
        analysis.show(result, analysis.write(result, folder), Console(highlight=False))
        return OK

    command(name, settings_class, body)
