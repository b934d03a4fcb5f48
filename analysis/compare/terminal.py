"""A comparison on a terminal: where the model sits, what is near it, how good its layers are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.compare.files import NEAREST, median_of
from analysis.compare.measure import PERCENTILE_METRICS, AxisPlacement, CompareResult
from analysis.measures.layer_quality import METRICS
from analysis.output.terminal import MOST_ROWS, print_closing
from analysis.wording import count, elide, one_line


def show(result: CompareResult, paths: Sequence[Path], console: Console) -> None:
    """Axes, nearest models, quality, degenerate layers, what to beware of, and where the files are."""
    model = result.model
    console.print()
    console.print(Text(f"{one_line(model.name)} ({model.reference.source}): {result.size}", style="bold"))
    for note in model.notes:
        console.print(Text(one_line(note)))
    for axis in result.axes:
        console.print()
        console.print(_axis(axis, result, console.width))
        for note in axis.notes:
            console.print(Text(one_line(note)))
    console.print(
        Text(
            f"own {result.settings.unit}s: their median drift to the rest of their group; farther: share of them "
            f"farther from it than this model; !: fewer than {result.settings.min_models} {result.settings.unit}s",
            style="dim",
        )
    )
    console.print()
    console.print(_nearest(result, console.width))
    console.print()
    console.print(_quality(result))
    _print_degenerate(result, console)
    console.print()
    if result.settings.replicates:
        console.print(
            Text(
                f"{result.settings.level:.0%} intervals: {result.settings.replicates:,} draws of each group's "
                f"{result.settings.unit}s; "
                "this one model is fixed, so they say nothing about training it again"
            )
        )
    print_closing(console, result, f"compared with these of {result.uri}; {result.provenance}", paths)


def _plain(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=None, padding=(0, 1), pad_edge=False)


def _axis(axis: AxisPlacement, result: CompareResult, width: int) -> Table:
    title = f"Drift to groups by {one_line(axis.grouping.axis)}"
    rows = sorted(axis.table(result.settings.min_models).to_pylist(), key=_order(axis))
    names = dict(zip((group.name for group in axis.grouping.groups), axis.grouping.names, strict=True))
    if len(rows) > MOST_ROWS:
        title += f" (the nearest {MOST_ROWS} of {len(rows)})"
    if axis.by_layer:
        title += ", like layers with like"
    table = _plain(title)
    table.add_column("", no_wrap=True)
    headings = ("models", "drift", "interval", f"own {result.settings.unit}s", "farther")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows[:MOST_ROWS]:
        low, high = row["drift_lo"], row["drift_hi"]
        interval = "–" if low is None else f"{_number(low)} … {_number(high)}"
        share = row["members_farther"]
        table.add_row(
            Text(elide(names[row["group"]], max(12, width - 60)) + (" !" if row["few_models"] else "")),
            str(row["models"]),
            _number(row["drift"]),
            interval,
            _number(row["usual_drift"]),
            "–" if share is None else f"{share:.0%}",
        )
    return table


def _order(axis: AxisPlacement) -> Any:
    """Groups of layers keep their order, others come by drift."""
    if axis.by_layer and len(axis.grouping.groups) <= MOST_ROWS:
        return lambda row: 0
    return lambda row: float("inf") if row["drift"] is None else row["drift"]


def _nearest(result: CompareResult, width: int) -> Table:
    table = _plain(f"Nearest models (of {result.extent.models})")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("drift", justify="right", no_wrap=True)
    described = [c for c in ("task", "visual_category", "architecture") if c in result.nearest.column_names]
    for column in described:
        table.add_column(column, no_wrap=True)
    for row in result.nearest.slice(0, NEAREST).to_pylist():
        texts = [Text(elide(one_line(str(row[c])), 24) if row[c] is not None else "–") for c in described]
        table.add_row(str(row["rank"]), Text(elide(one_line(row["model"]), 40)), _number(row["drift"]), *texts)
    return table


def _quality(result: CompareResult) -> Table:
    table = _plain(f"Quality of its layers among the {result.extent.layers:,} of the store")
    table.add_column("median over layers", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("percentile", justify="right", no_wrap=True)
    for metric in PERCENTILE_METRICS:
        percentile = median_of(result.layers, f"{metric}_percentile")
        shown = "–" if percentile is None else f"{percentile:.0f}"
        table.add_row(METRICS[metric], _number(median_of(result.layers, metric)), shown)
    return table


def _print_degenerate(result: CompareResult, console: Console) -> None:
    rows = result.degenerate.to_pylist()
    if not rows:
        console.print(Text("no degenerate layer"))
        return
    console.print(Text(f"{count(len(rows), 'degenerate layer')}:", style="bold"))
    for row in rows[:MOST_ROWS]:
        console.print(
            Text(
                f"  {row['degenerate']}: {one_line(row['layer'])} ({count(row['num_filters'], 'filter')}, "
                f"entropy {row['variance_entropy']:.3f}, sparsity {row['sparsity']:.3f})"
            )
        )
    if len(rows) > MOST_ROWS:
        console.print(Text(f"  … and {len(rows) - MOST_ROWS} more in the files"))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}" if abs(value) < 0.0095 else f"{value:.3f}"
