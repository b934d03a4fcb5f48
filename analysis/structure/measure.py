"""The structure of the filters: eigenfilters and explained variance of the store and of groups, and their agreement.

python -m analysis.structure store.uri=data/filters 'axes=[task,visual_category]' out=structure

From the moments in the table ``layers`` alone: no filter is read, no Ray is started. From Python::

    from analysis.structure.measure import StructureSettings, measure_structure
    from analysis.structure.files import components_table
    from distributed.store.settings import StoreSettings

    report = measure_structure(StructureSettings(StoreSettings("data/filters"), axes=("task",)))
    components_table(report.axes[0], report.whole).to_pandas()
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.text import Text

from analysis.measures.eigenfilters import Structure, agreement_between, agreement_of, structure_of, structures_by
from analysis.output.tables import Column, narrow_table
from analysis.overrides import quoted_condition
from analysis.selection.conditions import filters_in, models_in
from analysis.selection.grouping import Group, emptied_groups, group_layers
from analysis.selection.view import StoreView
from analysis.shift.files import writable_folder
from analysis.structure.files import AxisStructure, StructureReport, write_structure
from analysis.wording import count, one_line
from distributed.entry import OK, command
from distributed.errors import UserError
from distributed.store.settings import StoreSettings

#: Rows of a table on the terminal; the files have them all.
MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class StructureSettings:
    """Everything ``python -m analysis.structure`` needs.

    Attributes:
        store: where the layers are.
        axes: what to group by (``analysis.selection.grouping``).
        out: folder for the results, made if it is not there; files of an earlier run in it are replaced.
        where: SQL condition on models and layers (``analysis.selection.conditions.select_layers``); None: all of them. It chooses
            what is grouped; the structure of the whole store is reported beside it.
        subspace: number of leading components whose span is compared between groups, 1 … 8.
        max_groups: an axis with more groups than this is refused.
    """

    store: StoreSettings
    axes: tuple[str, ...] = ("task", "visual_category", "depth")
    out: str = "structure"
    where: str | None = None
    subspace: int = 3
    max_groups: int = 2000


def structure(settings: StructureSettings) -> int:
    """The command: measure, write, print; returns the exit code.

    Raises:
        UserError: the request can't be done.
    """
    folder = writable_folder(settings.out)
    report = measure_structure(settings)
    line = write_structure(report, folder)
    console = Console(highlight=False)
    print_structure(report, console)
    console.print(Text(line), soft_wrap=True)
    return OK


def measure_structure(settings: StructureSettings) -> StructureReport:
    """The structure of a store and of the groups of each axis; writes nothing.

    Raises:
        UserError: an axis, the condition or the store is not usable (``analysis.selection.grouping``), or ``subspace`` not 1 … 8.
        StoreError: the store is empty, its moments are missing or damaged.
    """
    axes = tuple(dict.fromkeys(settings.axes))
    if not axes:
        raise UserError("axes is empty: name at least one, as in 'axes=[task,depth]'")
    subspace = settings.subspace
    if not 1 <= subspace <= 8:
        raise UserError(f"subspace={subspace}: give 1 to 8 leading components (all nine span the same space anywhere)")
    view = StoreView.open(settings.store)
    selected = view.select(settings.where)
    groupings = [group_layers(selected, axis, max_groups=settings.max_groups) for axis in axes]
    whole = structure_of(view.layers, _everything(view.flat, "all filters of the store"))
    selection = None
    if selected.num_rows < view.flat.num_rows:
        chosen = pc.is_in(view.layers.column("layer_id"), value_set=selected.column("layer_id").combine_chunks())
        selection = structure_of(
            view.layers.filter(chosen), _everything(selected, f"where {one_line(settings.where or '')}")
        )
    found = []
    for grouping in groupings:
        structures = structures_by(view.layers, grouping)
        notes = (
            *grouping.notes,
            *emptied_groups(view.flat, selected, grouping.axis),
            *_flags(grouping.axis, structures),
        )
        found.append(AxisStructure(grouping, structures, agreement_of(structures, subspace), notes))
    return StructureReport(whole, selection, tuple(found), settings.where, subspace, view.store.uri)


def _everything(flat: pa.Table, name: str) -> Group:
    models = models_in(flat)
    return Group(name, f"{name} ({models})", filters_in(flat), flat.num_rows, models)


def _flags(axis: str, structures: tuple[Structure, ...]) -> tuple[str, ...]:
    """A sentence on the groups whose components mean little or nothing."""
    few = [one_line(s.group.name) for s in structures if s.few_filters]
    equal = [one_line(s.group.name) for s in structures if s.principal is None and not s.few_filters]
    notes = []
    for names, what in ((few, "fewer than 10 filters, flagged"), (equal, "all filters equal, no components")):
        if names:
            listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
            notes.append(f"{axis}: {what}: {listed}")
    return tuple(notes)


def print_structure(report: StructureReport, console: Console) -> None:
    """Explained variance of the store and of each group, and each group's agreement with the store."""
    for axis in report.axes:
        console.print()
        shown = axis.structures[:MOST_ROWS]
        title = f"Structure by {one_line(axis.grouping.axis)}"
        if len(shown) < len(axis.structures):
            title += f" (the first {len(shown)} of {len(axis.structures)} groups; the files have them all)"
        rows = [report.whole, *([report.selection] if report.selection else []), *shown]
        console.print(narrow_table(title, _columns(rows, report), console.width))
        for note in axis.notes:
            console.print(Text(note))
    whole = report.whole.group
    extent = (count(whole.models, "model"), count(whole.layers, "layer"), count(whole.filters, "filter"))
    console.print()
    console.print(Text(f"store: {', '.join(extent)}"))
    legend = (
        "explained variance in percent; agrees: variance-weighted |cos| of the components with the store's; "
        f"spans: overlap of the {report.subspace} leading components' space with the store's; 1: the same"
    )
    console.print(Text(legend))


def _columns(rows: Sequence[Structure], report: StructureReport) -> list[Column]:
    pairs = agreement_between([report.whole], rows, report.subspace)
    labels = [row.group.label + (" !" if row.few_filters or row.principal is None else "") for row in rows]
    shares = [
        # From the last on, components make way where the terminal is narrow.
        Column(str(i + 1), [_number(100 * row.ratio[i], 1) for row in rows], rank=0 if i < 3 else i)
        for i in range(9)
    ]
    return [
        Column("explained variance", labels, is_name=True),
        Column("filters", [f"{row.moments.count:,}" for row in rows]),
        *shares,
        Column("agrees", [_number(value, 3) for value in pairs.agreement[0]]),
        Column("spans", [_number(value, 3) for value in pairs.similarity[0]], rank=3),
    ]


def _number(value: float, decimals: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{decimals}f}"


def main() -> None:
    """Entry point; see ``conf/structure.yaml`` for every setting."""
    sys.argv[1:] = quoted_condition(sys.argv[1:])
    command("structure", StructureSettings, structure)


if __name__ == "__main__":
    main()
