"""Quality on a terminal: medians of the groups, and the degenerate layers by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.measures.degenerate import Degeneracy
from analysis.measures.layer_quality import count_untrained
from analysis.output.tables import Column, narrow_table
from analysis.output.terminal import MOST_ROWS, print_closing, shown_of
from analysis.quality.measure import GroupedQuality, QualityResult
from analysis.wording import one_line


def show(result: QualityResult, paths: Sequence[Path], console: Console) -> None:
    """Medians and degenerate layers of each group of the asked axes; the degenerate layers; the extent."""
    for grouped in result.axes:
        if grouped.grouping.axis not in result.standing:
            console.print()
            console.print(_medians(result, grouped, console.width))
            for note in grouped.notes:
                console.print(Text(note))
    console.print()
    if result.degenerate.num_rows:
        console.print(_degenerate(result.degenerate, console.width))
    found = result.degenerate.column("degenerate").to_pylist()
    kinds = ", ".join(f"{found.count(kind.value)} {kind.value}" for kind in Degeneracy)
    few = int(pc.sum(result.layers.column("few_filters")).as_py() or 0)
    said = f"degenerate layers: {kinds}; layers of fewer than 10 filters: {few}"
    said += f"; layers as near untrained as chance leaves them: {count_untrained(result.layers)}"
    print_closing(console, result, said, paths)


def _medians(result: QualityResult, grouped: GroupedQuality, width: int) -> Table:
    groups = grouped.grouping.groups
    title = f"Quality by {one_line(grouped.grouping.axis)}: medians over {result.weight}"
    title += shown_of(MOST_ROWS, len(groups), "groups")
    rows = []
    for part in (result.whole, grouped):
        kinds = part.degenerate.to_pylist()
        rows += [
            (group, part.summaries(group.name), kind)
            for group, kind in list(zip(part.grouping.groups, kinds, strict=True))[:MOST_ROWS]
        ]

    def medians(heading: str, metric: str, rank: int) -> Column:
        values = [summaries[metric]["median"] for _, summaries, _ in rows]
        return Column(heading, ["–" if value is None else f"{value:.3f}" for value in values], rank)

    columns = [
        Column("", [group.label for group, _, _ in rows], is_name=True),
        Column("layers", [f"{group.layers:,}" for group, _, _ in rows]),
        medians("entropy", "variance_entropy", 3),
        medians("/ T(n)", "variance_entropy_normalized", 0),
        medians("clean", "variance_entropy_clean", 4),
        medians("sparsity", "sparsity", 0),
        medians("orthogonality", "orthogonality", 1),
        medians("norm", "norm_mean", 2),
        medians("from untrained", "distance_from_untrained", 1),
        Column("random", [str(kind["random_layers"]) for _, _, kind in rows]),
        Column("collapsed", [str(kind["collapsed_layers"]) for _, _, kind in rows]),
        Column("all zero", [str(kind["all_zero_layers"]) for _, _, kind in rows], 1),
    ]
    return narrow_table(title, columns, width)


def _degenerate(found: pa.Table, width: int) -> Table:
    title = "Degenerate layers" + shown_of(MOST_ROWS, found.num_rows, "layers")
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
