"""A paper's figures and tables, each measured by its own command with the paper's preset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.coefficients import files as coefficients_files
from analysis.coefficients.measure import measure as measure_coefficients
from analysis.coefficients.settings import CoefficientsSettings
from analysis.measures.drift_matrix import AxisShift
from analysis.quality import files as quality_files
from analysis.quality.measure import measure as measure_quality
from analysis.quality.settings import QualitySettings
from analysis.replicate.numbers import Verdict, counts_of, of_pairs, of_shift, robust_column, verdicts
from analysis.replicate.papers import MEDICAL, Paper, Part, paper_named
from analysis.replicate.settings import ReplicateSettings
from analysis.selection.view import Extent, StoreView
from analysis.shift import files as shift_files
from analysis.shift.measure import ShiftResult
from analysis.shift.measure import measure as measure_shift
from analysis.shift.settings import ShiftSettings
from analysis.structure import files as structure_files
from analysis.structure.measure import measure as measure_structure
from analysis.structure.settings import StructureSettings
from analysis.wording import one_line
from distributed.configuration import setting_names, settings_of
from distributed.errors import UserError
from distributed.presets import preset_settings


@dataclass(frozen=True, slots=True)
class Command:
    """Another command's own settings, measure and write."""

    settings: type
    measure: Callable[[Any, StoreView], Any]
    write: Callable[[Any, Path], list[Path]]


COMMANDS: Mapping[str, Command] = {
    "structure": Command(StructureSettings, measure_structure, structure_files.write),
    "shift": Command(ShiftSettings, measure_shift, shift_files.write),
    "coefficients": Command(CoefficientsSettings, measure_coefficients, coefficients_files.write),
    "quality": Command(QualitySettings, measure_quality, quality_files.write),
}


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPart:
    """A part, how its command was asked, and what it found."""

    part: Part
    asked: Mapping[str, Any]
    result: Any


@dataclass(frozen=True, slots=True, eq=False)
class ReplicateResult:
    """Everything one run of ``analysis.replicate.measure`` found.

    Attributes:
        settings: what was asked.
        paper: which.
        parts: its figures and tables.
        verdicts: its numbers, published and here.
        is_published_data: whether the store is, by its counts; else there is no verdict.
        extent: what took part, after ``where``.
        uri: of the store.
        notes: parts that this store cannot give, and why.
    """

    settings: ReplicateSettings
    paper: Paper
    parts: tuple[MeasuredPart, ...]
    verdicts: tuple[Verdict, ...]
    is_published_data: bool
    extent: Extent
    uri: str
    notes: tuple[str, ...] = field(default=())

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where

    @property
    def shifts(self) -> tuple[AxisShift, ...]:
        """Drift matrices of all parts."""
        return tuple(
            shift for part in self.parts if isinstance(part.result, ShiftResult) for shift in part.result.shifts
        )


def measure(settings: ReplicateSettings, view: StoreView | None = None) -> ReplicateResult:
    """A paper's figures and tables. Writes nothing but the sketch that the store keeps.

    Args:
        settings: what to measure.
        view: of ``settings.store``, where it has been opened already.

    Raises:
        UserError: there is no such paper, the condition or the pairs are not usable, or no part can be measured.
        StoreError: the store is empty or damaged.
    """
    paper = paper_named(settings.paper)
    if settings.pairs is not None and not paper.robust:
        raise UserError(f"pairs is of paper=2204.02481; {settings.paper} has none")
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where)
    robust = robust_column(selected) if paper.robust else None
    if paper.robust and robust is None:
        raise UserError(f"paper={settings.paper}: no column 'robust' says which models are: add it with labels=FILE")
    numbers, notes = counts_of(selected, robust), list[str]()
    parts: list[MeasuredPart] = []
    for part in paper.parts:
        try:
            asked = _asked(part, paper, settings, robust or "")
            command = COMMANDS[part.command]
            made: Any = settings_of(command.settings, {**asked, "store": settings.store, "labels": settings.labels})
            parts.append(MeasuredPart(part, asked, command.measure(made, view)))
        except UserError as error:
            notes.append(f"left out {part.name} ({part.shows}): {one_line(str(error))}")
    if not parts:
        raise UserError("; ".join(notes))
    main = next((each.result for each in parts if isinstance(each.result, ShiftResult)), None)
    if main is not None:
        numbers |= of_shift(main.shifts, main.sketch)
        if robust is not None:
            numbers |= of_pairs(selected, robust, main.sketch, settings.pairs, settings.store)
    known, table = verdicts(paper, numbers)
    if not known:
        notes.append("no verdicts: by its counts this store is not the published data, or these are not known")
    return ReplicateResult(
        settings, paper, tuple(parts), table, known, Extent.of(selected), view.store.uri, tuple(notes)
    )


def _asked(part: Part, paper: Paper, settings: ReplicateSettings, robust: str) -> dict[str, Any]:
    """Settings of the part's command, but the store."""
    kind = COMMANDS[part.command].settings
    asked = preset_settings(paper.preset, part.command, kind) | dict(part.settings)
    asked["axes"] = [axis.replace("ROBUST", robust) for axis in asked["axes"]]
    conditions = [
        MEDICAL if condition == "MEDICAL" else condition for condition in (asked.get("where"), settings.where)
    ]
    given = [f"({condition})" for condition in conditions if condition]
    asked["where"] = " AND ".join(given) or None
    if "replicates" in setting_names(kind):
        asked["replicates"] = 0  # none of the papers has intervals
    if "cluster" in setting_names(kind):
        asked["cluster"] = settings.cluster
    asked["out"] = f"{settings.out}/{part.name}"
    return asked
