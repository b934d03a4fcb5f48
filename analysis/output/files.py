"""Result files: tables as Parquet and CSV, pictures as PNG. A file is whole or not there."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from analysis.pictures.canvas import Drawing, default_style
from distributed.errors import UserError

#: Pixels an inch: fine enough for print while the picture is small.
_DPI_SMALL, _DPI_LARGE, _LARGE_INCHES = 150, 110, 24


@dataclass(slots=True)
class Outputs:
    """Writes into one folder and remembers what it wrote, in ``written``.

    Raises (every method):
        UserError: the disk refuses.
    """

    folder: Path
    written: list[Path] = field(default_factory=list)

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
                writer.writerow(heading)
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
        # The ending stays, since writers choose the format by it.
        partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        try:
            writer(partial)
            os.replace(partial, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)
        self.written.append(path)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.9g}" if isinstance(value, float) else value
