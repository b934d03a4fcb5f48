"""Benchmark 7: state dicts without their architecture, against the same networks traced.

    python -m benchmarks.bare --every 1

Every architecture of timm (or every nth) and every sample is built on the meta device and run once, which tells its
convolutions and their true depth. Then its state dict is looked at alone: which 3x3 filters are found, and in which
order; once as torch saves it, in order of definition, and once as a safetensors header has it, sorted, where names and
channels give the order. The rival sorts the names naturally and puts the layer that reads the image first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from scipy.stats import kendalltau

from benchmarks.output import Column, Goal, Row, finish, number
from distributed.convolutions import ConvolutionPlan, find_convolutions
from distributed.convolutions.other_networks import other_networks
from distributed.formats.base import TensorEntry
from distributed.formats.naming import natural_key
from distributed.graph.facts import GraphFacts
from distributed.graph.order import order_depths
from distributed.graph.tracing import TraceError, trace
from distributed.name_patterns import NamePatterns
from samples import SAMPLES_ROOT
from samples.architectures import build

COLUMNS = (
    Column("networks", "networks"),
    Column("order", "order of"),
    Column("count", "number", number(0)),
    Column("filters", "3x3 filters traced", number(0)),
    Column("missing", "not found", number(0)),
    Column("extra", "found besides", number(0)),
    Column("exact", "networks exact", number(0)),
    Column("tau", "tau, mean", number(4)),
    Column("median", "median", number(4)),
    Column("low", "5 %", number(4)),
    Column("worst", "lowest"),
)

DEFINITION, OURS, RIVAL = "definition", "names and channels", "names, naturally"


@dataclass(frozen=True)
class Network:
    """One architecture.

    Attributes:
        source: ``timm`` or ``samples``.
        name: of the architecture.
        entries: its state dict in order of definition.
        facts: what one run of it tells.
    """

    source: str
    name: str
    entries: Sequence[TensorEntry]
    facts: GraphFacts


def networks(every: int) -> Iterator[Network]:
    """Every nth architecture of timm, and all samples; those that cannot be traced are named and left out."""
    chosen = [("timm", name, f"timm:{name}") for name in timm.list_models()[::every]]
    configs = sorted(SAMPLES_ROOT.glob("*/config.json"))
    chosen += [("samples", config.parent.name, f"samples:{config.read_text('utf-8')}") for config in configs]
    for source, name, builder in chosen:
        try:
            facts = trace(builder)
            with torch.device("meta"):
                kind, _, what = builder.partition(":")
                model = timm.create_model(what) if kind == "timm" else build(json.loads(what))
        except TraceError as error:
            print(error)
            continue
        trace.cache_clear()
        yield Network(source, name, _entries(model.state_dict()), facts)


def _entries(state: Mapping[str, torch.Tensor]) -> list[TensorEntry]:
    """What a file of it holds: tied tensors once."""
    first: dict[object, str] = {}
    kept = {name: t for name, t in state.items() if first.setdefault(t.untyped_storage()._cdata, name) == name}
    return [TensorEntry(name, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in kept.items()]


def judged(network: Network) -> list[Row]:
    """The state dict alone against the trace: a row for each order."""
    traced = _traced(network)
    rows = []
    for order in (DEFINITION, OURS, RIVAL):
        is_known = order == DEFINITION
        entries = network.entries if is_known else sorted(network.entries, key=lambda entry: entry.name)
        plan = _found(entries, is_known)
        found = {c.name: c.num_kernels for c in plan.convolutions if c.shape[2:] == (3, 3)}
        both = [c for c in plan.convolutions if c.name in network.facts.convolutions]
        shapes = {c.name: c.shape for c in both}
        depths = _naturally(shapes) if order == RIVAL else order_depths(list(shapes), list(shapes.values()), is_known)
        true = [network.facts.convolutions[name].depth for name in shapes]
        tau = kendalltau(true, [depths[name] for name in shapes]).statistic if len(set(true)) > 1 else None
        rows.append(
            {
                "source": network.source,
                "name": network.name,
                "order": order,
                "filters": sum(traced.values()),
                "missing": sum(kernels for name, kernels in traced.items() if name not in found),
                "extra": sum(kernels for name, kernels in found.items() if name not in traced),
                "tau": tau,
            }
        )
    return rows


def _found(entries: Sequence[TensorEntry], order_known: bool) -> ConvolutionPlan:
    others = other_networks(entries, NamePatterns(), by_name=True)
    mine = [entry for entry in entries if entry.name not in others.names]
    return find_convolutions(mine, None, order_known=order_known)


def _traced(network: Network) -> dict[str, int]:
    """Name → 3x3 filters, of the convolutions that the run has met, tied ones once, transposed ones not."""
    facts = network.facts
    return {
        entry.name: entry.shape[0] * entry.shape[1]
        for entry in network.entries
        if entry.name in facts.convolutions
        and entry.name not in facts.aliases
        and entry.shape[2:] == (3, 3)
        and not facts.convolutions[entry.name].transposed
    }


def _naturally(shapes: dict[str, tuple[int, int, int, int]]) -> dict[str, int]:
    """The rival: natural order of names, the first layer that reads three channels before all, with its siblings."""
    ordered = sorted(shapes, key=natural_key)
    image = next((name for name in ordered if shapes[name][1] == 3), None)
    if image is not None:
        top = image.split(".")[0]
        ordered.sort(key=lambda name: (name != image, name.split(".")[0] != top))
    return {name: depth for depth, name in enumerate(ordered)}


def summary(rows: Sequence[Row]) -> list[Row]:
    """One row for each source and order."""
    found = []
    for source, order in dict.fromkeys((row["source"], row["order"]) for row in rows):
        mine = [row for row in rows if (row["source"], row["order"]) == (source, order)]
        taus = {row["name"]: row["tau"] for row in mine if row["tau"] is not None}
        values = np.array(list(taus.values()))
        lowest = min(taus, key=lambda name: taus[name])
        found.append(
            {
                "networks": source,
                "order": order,
                "count": len(mine),
                **{key: sum(row[key] for row in mine) for key in ("filters", "missing", "extra")},
                "exact": sum(not row["missing"] and not row["extra"] for row in mine),
                "tau": values.mean(),
                "median": np.median(values),
                "low": np.percentile(values, 5),
                "worst": f"{lowest} {taus[lowest]:.2f}",
            }
        )
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description=__doc__)
    parser.add_argument(
        "--every", type=int, default=10, help="of timm's architectures; 1: all, in ten minutes and more"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    rows: list[Row] = []
    began = time.monotonic()
    for number_done, network in enumerate(networks(given.every), 1):
        rows += judged(network)
        if number_done % 100 == 0:
            print(f"{number_done} networks in {time.monotonic() - began:.0f} s", flush=True)
    found = summary(rows)
    finish("bare", given.out, found, COLUMNS, lambda figure, _: _draw(figure, rows), _goals(found))


def _goals(rows: Sequence[Row]) -> list[Goal]:
    """Of timm's architectures."""
    by_order = {row["order"]: row for row in rows if row["networks"] == "timm"}
    ours, rival = by_order[OURS], by_order[RIVAL]
    wrong = (ours["missing"] + ours["extra"]) / ours["filters"]
    return [
        Goal(f"{wrong:.3%} of the traced 3x3 filters not found, or found besides (goal 0.1 %)", wrong <= 0.001),
        Goal(f"tau {ours['tau']:.4f}, names sorted naturally {rival['tau']:.4f} (goal .97)", ours["tau"] >= 0.97),
    ]


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    for order in (DEFINITION, OURS, RIVAL):
        taus = sorted(row["tau"] for row in rows if row["order"] == order and row["tau"] is not None)
        axes.plot(np.linspace(0, 100, len(taus)), taus, label=order)
    axes.set_xlabel("% of the networks")
    axes.set_title("Kendall's tau of the order of layers against traced depth", loc="left")
    axes.legend(title="order of", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
