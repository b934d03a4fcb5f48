"""The quality of layers: sparsity, variance entropy, orthogonality, norms; by layer and by group; degenerate layers.

python -m analysis.quality store.uri=data/filters 'axes=[task,visual_category]' weight=models out=quality

From the table ``layers`` alone: extraction has measured every layer. No filter is read. From Python::

    from analysis.quality.measure import QualitySettings, measure_quality
    from distributed.store.settings import StoreSettings

    report = measure_quality(QualitySettings(StoreSettings("data/filters"), axes=("task",)))
    report.layers.to_pandas()
    report.axes[0].summary.to_pandas()
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.measures.degenerate import Degeneracy
from analysis.measures.quality import (
    Weighting,
    count_degenerate,
    degenerate_layers,
    layer_quality,
    summarise,
    with_group,
)
from analysis.output.tables import Column, narrow_table
from analysis.overrides import quoted_condition
from analysis.quality.files import GroupedQuality, QualityReport, write_quality
from analysis.selection.conditions import filters_in, models_in
from analysis.selection.grouping import Group, Grouping, emptied_groups, group_layers
from analysis.selection.view import StoreView
from analysis.shift.files import writable_folder
from analysis.wording import count, one_line
from distributed.entry import OK, command
from distributed.store.settings import StoreSettings

#: Rows of a table on the terminal; the files have them all.
MOST_ROWS = 20

#: Axes that are always summarised.
STANDING_AXES = ("depth", "model")


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Everything ``python -m analysis.quality`` needs.

    Attributes:
        store: where the layers are.
        axes: what to group by besides ``depth`` and ``model`` (``analysis.selection.grouping``).
        out: folder for the results, made if it is not there; files of an earlier run in it are replaced.
        where: SQL condition on models and layers (``analysis.selection.conditions.select_layers``); None: all of them.
        weight: what counts as one observation (``Weighting``).
        max_groups: an axis with more groups than this is refused.
    """

    store: StoreSettings
    axes: tuple[str, ...] = ("task", "visual_category")
    out: str = "quality"
    where: str | None = None
    weight: Weighting = Weighting.layers
    max_groups: int = 20_000


def quality(settings: QualitySettings) -> int:
    """The command: measure, write, print; returns the exit code.

    Raises:
        UserError: the request can't be done.
    """
    folder = writable_folder(settings.out)
    report = measure_quality(settings)
    line = write_quality(report, folder)
    console = Console(highlight=False)
    print_quality(report, console)
    console.print(Text(line), soft_wrap=True)
    return OK


def measure_quality(settings: QualitySettings) -> QualityReport:
    """The quality of each layer, summaries of each axis's groups, and the degenerate layers; writes nothing.

    Raises:
        UserError: an axis or the condition is not usable.
        StoreError: the store is empty or damaged.
    """
    view = StoreView.open(settings.store)
    selected = view.select(settings.where)
    # Asked axes first: they are what is read first. Depth and model may be asked for as well.
    axes = tuple(dict.fromkeys([*settings.axes, *STANDING_AXES]))
    groupings = [group_layers(selected, axis, max_groups=settings.max_groups) for axis in axes]
    layers = layer_quality(selected)
    for grouping in groupings:
        layers = with_group(layers, grouping)
    models = models_in(selected)
    group = Group("all layers", f"all layers ({models})", filters_in(selected), selected.num_rows, models)
    ids = selected.column("layer_id").to_numpy()
    everything = Grouping("all", (group,), ids, np.zeros(len(ids), dtype=np.int64))
    whole, *by_axis = (
        GroupedQuality(
            grouping,
            summarise(layers, grouping, settings.weight),
            count_degenerate(layers, grouping, settings.weight),
            grouping.notes
            if grouping is everything
            else (*grouping.notes, *emptied_groups(view.flat, selected, grouping.axis)),
        )
        for grouping in (everything, *groupings)
    )
    return QualityReport(
        layers, whole, tuple(by_axis), degenerate_layers(layers), settings.weight, settings.where, view.store.uri
    )


def print_quality(report: QualityReport, console: Console) -> None:
    """Medians and degenerate layers of each group of the asked axes; the degenerate layers; the extent."""
    for grouped in report.axes:
        if grouped.grouping.axis not in STANDING_AXES:
            console.print()
            console.print(_medians(report, grouped, console.width))
            for note in grouped.notes:
                console.print(Text(note))
    console.print()
    if report.degenerate.num_rows:
        console.print(_degenerate(report.degenerate, console.width))
    group = report.whole.grouping.groups[0]
    extent = ", ".join((count(group.models, "model"), count(group.layers, "layer"), count(group.filters, "filter")))
    found = report.degenerate.column("degenerate").to_pylist()
    kinds = ", ".join(f"{found.count(kind.value)} {kind.value}" for kind in Degeneracy)
    few = int(pc.sum(report.layers.column("few_filters")).as_py() or 0)
    console.print(Text(f"{extent}; degenerate layers: {kinds}; layers of fewer than 10 filters: {few}"))
    if report.where:
        console.print(Text(f"where {one_line(report.where)}"))


def _medians(report: QualityReport, grouped: GroupedQuality, width: int) -> Table:
    groups = grouped.grouping.groups
    title = f"Quality by {one_line(grouped.grouping.axis)}: medians over {report.weight}"
    if len(groups) > MOST_ROWS:
        title += f" (the first {MOST_ROWS} of {len(groups)} groups; the files have them all)"
    rows = []
    for part in (report.whole, grouped):
        kinds = part.degenerate.to_pylist()
        rows += [
            (group, part.summaries(group.name), kind)
            for group, kind in list(zip(part.grouping.groups, kinds, strict=True))[:MOST_ROWS]
        ]

    def medians(heading: str, metric: str, rank: int) -> Column:
        values = [summaries[metric]["median"] for _, summaries, _ in rows]
        return Column(heading, ["–" if value is None else f"{value:.3f}" for value in values], rank)

    collapsed = [str(kind["collapsed_layers"] + kind["all_zero_layers"]) for _, _, kind in rows]
    columns = [
        Column("", [group.label for group, _, _ in rows], is_name=True),
        Column("layers", [f"{group.layers:,}" for group, _, _ in rows]),
        medians("entropy", "variance_entropy", 3),
        medians("/ T(n)", "variance_entropy_normalized", 0),
        medians("clean", "variance_entropy_clean", 4),
        medians("sparsity", "sparsity", 0),
        medians("orthogonality", "orthogonality", 1),
        medians("norm", "norm_mean", 2),
        Column("random", [str(kind["random_layers"]) for _, _, kind in rows]),
        Column("collapsed", collapsed),
    ]
    return narrow_table(title, columns, width)


def _degenerate(found: pa.Table, width: int) -> Table:
    title = "Degenerate layers"
    if found.num_rows > MOST_ROWS:
        title += f" (the first {MOST_ROWS} of {found.num_rows}; degenerate.csv has them all)"
    rows = found.slice(0, MOST_ROWS).to_pylist()

    def numbers(heading: str, key: str, rank: int) -> Column:
        return Column(heading, [f"{row[key]:.3f}" for row in rows], rank)

    columns = [
        Column("", [row["degenerate"] for row in rows]),
        Column("model", [row["model"] for row in rows], is_name=True),
        Column("layer", [row["layer"] for row in rows], is_name=True),
        Column("filters", [f"{row['num_filters']:,}" for row in rows]),
        numbers("entropy", "variance_entropy", 0),
        numbers("T(n)", "random_threshold", 0),
        numbers("sparsity", "sparsity", 1),
        numbers("depth", "conv_depth_norm", 2),
    ]
    return narrow_table(title, columns, width)


def main() -> None:
    """Entry point; see ``conf/quality.yaml`` for every setting."""
    sys.argv[1:] = quoted_condition(sys.argv[1:])
    command("quality", QualitySettings, quality)


if __name__ == "__main__":
    main()
