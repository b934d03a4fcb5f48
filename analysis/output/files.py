"""Result files: tables as Parquet and CSV, pictures as PNG. A run's files are all there, whole, or none is."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from analysis.pictures.canvas import Drawing
from analysis.pictures.style import default_style
from distributed.errors import UserError

#: Pixels an inch: fine enough for print while the picture is small.
_DPI_SMALL, _DPI_LARGE, _LARGE_INCHES = 150, 110, 24


#: Which file was written by which command, in a folder of results.
_LEDGER = ".cnn-filter-shift.json"

#: A file that is being written: hidden, with the number of the process.
_PARTIAL = re.compile(r"\..+\.(\d+)(\.\w+)?")


@dataclass(slots=True)
class Outputs:
    """What one command writes into one folder: all of it or nothing, when its context ends.

    Results of an earlier run of the same command go; files of another command, or of somebody else, are never
    overwritten. ``written`` are the paths.

    Raises (every method):
        UserError: the disk refuses.
    """

    folder: Path
    command: str
    written: list[Path] = field(default_factory=list)

    def __enter__(self) -> Outputs:
        for path in self.folder.iterdir():
            if (found := _PARTIAL.fullmatch(path.name)) and not _is_running(int(found[1])):
                path.unlink(missing_ok=True)  # of a process that was killed
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            for path in self.written:
                self._partial(path).unlink(missing_ok=True)

    def _publish(self) -> None:
        ledger = _read_ledger(self.folder)
        ours, names = set(ledger.get(self.command, ())), {path.name for path in self.written}
        foreign = sorted(name for name in names - ours if (self.folder / name).exists())
        if foreign:
            raise UserError(
                f"out={self.folder}: {', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''} there "
                f"{'is' if len(foreign) == 1 else 'are'} not of an earlier run of {self.command}: nothing was written; "
                "choose another folder, or remove them"
            )
        for path in self.written:
            os.replace(self._partial(path), path)
        for name in ours - names:
            (self.folder / name).unlink(missing_ok=True)
        ledger[self.command] = sorted(names)
        (self.folder / _LEDGER).write_text(json.dumps(ledger, indent=1) + "\n", encoding="utf-8")

    def table(self, stem: str, table: pa.Table, about: Mapping[str, str]) -> None:
        """``<stem>.parquet``, every digit, with ``about`` in its metadata, and ``<stem>.csv``, nine digits."""
        self.parquet(stem, table, about)
        self.csv(stem, table.column_names, [list(row.values()) for row in table.to_pylist()])

    def parquet(self, stem: str, table: pa.Table, about: Mapping[str, str]) -> None:
        """``<stem>.parquet`` alone. The metadata say what it is: tables travel without their folder."""
        described = table.replace_schema_metadata(dict(about))
        self._replace(f"{stem}.parquet", lambda path: pq.write_table(described, path))

    def csv(self, stem: str, heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """``<stem>.csv``: numbers with nine digits, nothing for null; for eyes and spreadsheets."""

        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([_cell(name) for name in heading])
                writer.writerows([[_cell(value) for value in row] for row in rows])

        self._replace(f"{stem}.csv", write)

    def text(self, name: str, text: str) -> None:
        """A text file."""
        self._replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def file(self, name: str, writer: Callable[[Path], object]) -> None:
        """Whatever ``writer`` writes to the path it is given."""
        self._replace(name, writer)

    def pictures(self, drawings: Iterable[Drawing]) -> None:
        """``<stem>.png`` of each, as large as its figure is."""
        with default_style():
            for drawing in drawings:
                self.png(drawing.stem, drawing.draw(), drawing.title)

    def png(self, stem: str, figure: Figure, title: str) -> None:
        """``<stem>.png`` of a figure that is drawn already."""
        dpi = _DPI_SMALL if max(figure.get_size_inches()) < _LARGE_INCHES else _DPI_LARGE
        about = {"Title": title, "Software": "cnn-filter-shift"}
        self._replace(f"{stem}.png", lambda path: figure.savefig(path, dpi=dpi, metadata=about))

    def _replace(self, name: str, writer: Callable[[Path], object]) -> None:
        path = self.folder / name
        try:
            writer(self._partial(path))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            self.written.append(path)

    def _partial(self, path: Path) -> Path:
        # The ending stays, since writers choose the format by it.
        return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def _read_ledger(folder: Path) -> dict[str, list[str]]:
    """Command → names of its files; empty where nothing of ours is kept."""
    try:
        content = json.loads((folder / _LEDGER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"  # a spreadsheet would take it for a formula
    return f"{value:.9g}" if isinstance(value, float) else value
