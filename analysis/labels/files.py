"""The files of ``analysis.labels``, its template, and the labels in the store."""

from __future__ import annotations

import csv
from pathlib import Path

from analysis.labels.measure import LabelsResult
from analysis.output.files import Outputs
from distributed.errors import UserError


def write(result: LabelsResult, folder: Path) -> list[Path]:
    """Write the tables into ``folder``, the template, and where it is asked for the labels into the store.

    Raises:
        UserError: the disk refuses.
        RetryableError: the store cannot be written.
    """
    about = {"store": result.store.uri, "where": result.where or "", "notes": "\n".join(result.label_notes)}
    with Outputs(folder, "labels") as outputs:
        outputs.table("fields", result.fields, about)
        outputs.table("models", result.models, about)
    paths = list(outputs.written)
    if result.settings.template is not None:
        paths.append(_write_template(result, Path(result.settings.template)))
    if result.settings.save:
        for model_id, values in result.changed.items():
            result.store.relabel_model(model_id, values)
    return paths


def _write_template(result: LabelsResult, path: Path) -> Path:
    """Plain CSV, without the guard against formulas of ``Outputs.csv``: it is read again."""
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(result.template.column_names)
            writer.writerows(row.values() for row in result.template.to_pylist())
    except OSError as error:
        raise UserError(f"template={path}: cannot be written ({error.strerror})") from error
    return path
