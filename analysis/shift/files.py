"""What a shift measurement gives, as tables in memory and as files."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from analysis.arrays.basis import Basis
from analysis.arrays.types import Bool, Float64
from analysis.measures.drift import DIVERGENCES
from analysis.measures.uncertainty import Uncertainty
from analysis.output.files import Outputs
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.scanning.sketching import Sketch
from analysis.selection.grouping import Group, Grouping
from analysis.wording import count
from distributed.errors import UserError
from distributed.references import MODEL_BITS_SHIFT

BASIS_FILE = "basis.json"
SKETCH_FILE = "sketch.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class AxisShift:
    """The drift matrix of one axis.

    Attributes:
        grouping: its groups, in the order of the matrix.
        drift: (G, G) float64.
        notes: what was left out and what to beware of.
        divergence: what ``drift`` is, for people.
        uncertainty: intervals, nulls and p-values of ``drift``; None where they were not asked for or make no sense.
        min_models: cells with a group of fewer models are flagged; 0: none is.
    """

    grouping: Grouping
    drift: Float64
    notes: tuple[str, ...]
    divergence: str = DIVERGENCES["kl"].title
    uncertainty: Uncertainty | None = None
    min_models: int = 0

    @property
    def axis(self) -> str:
        """Its name."""
        return self.grouping.axis

    @property
    def groups(self) -> tuple[Group, ...]:
        """(G,)"""
        return self.grouping.groups

    @property
    def models(self) -> int:
        """Number of models with a layer in any of the groups."""
        return len(np.unique(self.grouping.layer_ids >> MODEL_BITS_SHIFT))

    @property
    def few_models(self) -> Bool:
        """(G, G) whether a cell rests on a group of fewer than ``min_models`` models."""
        few = np.array([group.models < self.min_models for group in self.groups])
        flagged: Bool = few[:, None] | few[None, :]
        return flagged

    def pairs(self) -> pa.Table:
        """Every ordered pair, a group with itself included: ``a, b, drift``, the sizes of both groups, ``few_models``.

        With ``uncertainty`` also ``drift_lo, drift_hi`` (interval; null where a group has one model), ``null_median,
        null_high``, ``p_value`` and ``q_value`` (``analysis.measures.uncertainty``).
        """
        number = len(self.groups)
        first = pa.array(np.repeat(np.arange(number), number))
        second = pa.array(np.tile(np.arange(number), number))
        names = pa.array([group.name for group in self.groups], pa.string())
        columns = {"a": names.take(first), "b": names.take(second), "drift": pa.array(self.drift.ravel())}
        for size in ("filters", "layers", "models"):
            sizes = pa.array([getattr(group, size) for group in self.groups], pa.int64())
            columns[f"{size}_a"], columns[f"{size}_b"] = sizes.take(first), sizes.take(second)
        columns["few_models"] = pa.array(self.few_models.ravel())
        if self.uncertainty is not None:
            for name, values in (
                ("drift_lo", self.uncertainty.low),
                ("drift_hi", self.uncertainty.high),
                ("null_median", self.uncertainty.null_median),
                ("null_high", self.uncertainty.null_high),
                ("p_value", self.uncertainty.p_value),
                ("q_value", self.uncertainty.q_value),
            ):
                columns[name] = pa.array(values.ravel(), from_pandas=True)  # NaN becomes null
        return pa.table(columns)

    def matrix(self) -> pa.Table:
        """A row per group: its label in the column named like the axis, then its drift to each group by label."""
        labels = [group.label for group in self.groups]
        columns = [pa.array(labels, pa.string()), *(pa.array(column) for column in self.drift.T)]
        return pa.Table.from_arrays(columns, names=[self.axis, *labels])


@dataclass(frozen=True, slots=True, eq=False)
class ShiftReport:
    """Everything one run of ``analysis.shift.measure`` found.

    Attributes:
        shifts: one per axis, in the order asked.
        sketch: per-layer histograms of all filters of the store, and their basis.
        models: how many took part, after ``where``; so ``layers`` and ``filters``.
        where: the condition, None for all.
    """

    shifts: tuple[AxisShift, ...]
    sketch: Sketch
    models: int
    layers: int
    filters: int
    where: str | None

    @property
    def basis(self) -> Basis:
        """What the filters were projected on."""
        return self.sketch.basis


def writable_folder(out: str) -> Path:
    """The folder ``out``, made if need be, after trying to write into it.

    Raises:
        UserError: it is not a local folder, or nothing can be written there.
    """
    if "://" in out:
        raise UserError(f"out={out}: results go to a folder on this machine; copy them from there")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"out={out}: cannot write there: {error.strerror or error}: choose another folder") from error
    return folder


def write_results(report: ShiftReport, folder: Path) -> tuple[Path, ...]:
    """Write the basis, the sketch and three files an axis into ``folder``; returns the paths.

    Raises:
        UserError: the disk refuses.
    """
    outputs = Outputs(folder)
    outputs.text(BASIS_FILE, report.basis.to_json())
    outputs.file(SKETCH_FILE, report.sketch.to_parquet)
    for shift in report.shifts:
        stem, title = f"shift_{file_stem(shift.axis)}", f"Drift by {shift.axis}"
        about = {
            "axis": shift.axis,
            "divergence": shift.divergence,
            "basis": report.basis.digest,
            "where": report.where or "",
            "notes": "\n".join(shift.notes),
        }
        outputs.parquet(stem, shift.pairs(), about)
        labels = [group.label for group in shift.groups]
        rows = [[label, *row] for label, row in zip(labels, shift.drift.tolist(), strict=True)]
        outputs.csv(stem, [shift.axis, *labels], rows)
        outputs.picture(stem, _picture(shift, report, title), title)
    return tuple(outputs.written)


def file_stem(axis: str) -> str:
    """An axis's name as part of a file name: a column may be called anything."""
    return re.sub(r"[^\w.-]", "_", axis)


def _picture(shift: AxisShift, report: ShiftReport, title: str) -> Figure:
    sizes = (
        count(len(shift.groups), "group"),
        count(shift.models, "model"),
        count(sum(group.filters for group in shift.groups), "filter"),
    )
    remarks = [" · ".join(sizes), *([f"where {report.where}"] if report.where else []), *shift.notes]
    off_diagonal = shift.few_models & ~np.eye(len(shift.groups), dtype=bool)
    if off_diagonal.any():
        remarks.append(f"hatched: a group of fewer than {shift.min_models} models")
    labels = [group.label for group in shift.groups]
    return draw_heatmap(Heatmap(labels, shift.drift, title, remarks, f"drift D ({shift.divergence})", off_diagonal))
