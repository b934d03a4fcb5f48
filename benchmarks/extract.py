"""Benchmark 4: extraction against ``timm.create_model(pretrained=True)`` and a loop, from the same hub on loopback.

    python -m benchmarks.extract
    python -m benchmarks.extract --rate

Models have random weights and stand where timm looks for them. Both contestants begin with an empty cache and write the
same filters to Parquet (theirs without statistics, depths or checks). ``bytes`` is what the hub sent.

``--rate``: one large local model on one core, stage by stage, against pyarrow reading the same filters and writing them
back with nothing in between: with the store's options; synced to the disk as the store's files are; and with
pyarrow's own defaults (a dictionary of floats is tried, Snappy).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, made_folder, run_measured
from benchmarks.output import Column, Goal, Row, bars, finish, gigabytes, number

#: A spread of what the Hub holds: mostly 3x3, partly, hardly, none of it; with a large classifier (VGG).
MODELS = (
    "resnet34.a1_in1k",
    "resnet50.a1_in1k",
    "vgg16.tv_in1k",
    "densenet121.ra_in1k",
    "efficientnet_b0.ra_in1k",
    "wide_resnet50_2.tv_in1k",
)
LARGE = ("wide_resnet101_2", "resnet152", "resnext101_32x8d")

HUB_COLUMNS = (
    Column("who", "who"),
    Column("models", "models", number(0)),
    Column("filters", "filters", number(0)),
    Column("seconds", "wall, s", number(1)),
    Column("cpu", "CPU s", number(1)),
    Column("bytes", "fetched", gigabytes),
    Column("requests", "requests", number(0)),
    Column("peak", "peak memory", gigabytes),
    Column("processes", "processes", number(0)),
)
RATE_COLUMNS = (
    Column("model", "model"),
    Column("what", "what"),
    Column("ns", "CPU ns/row", number(1)),
    Column("wall_ns", "wall ns/row", number(1)),
    Column("share", "ours at this share of its rate", number(2)),
    Column("without", "… without orthogonality", number(2)),
)


def make_hub(root: Path, names: Sequence[str]) -> int:
    """Repositories ``timm/<name>`` with random weights; bytes."""
    import timm
    import torch
    from safetensors.torch import save_file
    from timm.models import get_pretrained_cfg

    size = 0
    for seed, name in enumerate(names):
        configuration = get_pretrained_cfg(name)
        assert configuration is not None, name
        folder = root / str(configuration.hf_hub_id)
        folder.mkdir(parents=True)
        torch.manual_seed(seed)
        state = timm.create_model(name).state_dict()
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
        (folder / "README.md").write_text(
            "---\nlibrary_name: timm\npipeline_tag: image-classification\n---\n# Random\n"
        )
        size += (folder / "model.safetensors").stat().st_size
    return size


def compare(place: Path, names: Sequence[str]) -> list[Row]:
    """Both contestants, and that they found the same filters."""
    from tests.loopback_hub import LoopbackHub, hub_environment

    size = make_hub(place / "hub", names)
    print(f"{len(names)} models of {size / 1e6:,.0f} MB", flush=True)
    rows: list[Row] = []
    with LoopbackHub(place / "hub") as hub:
        for name in names:
            hub.repo(f"timm/{name}")  # the server's digests are computed before the clock runs
        for who, label in (("hub_timm", "timm.create_model and a loop"), ("hub_ours", "ours")):
            os.environ.update(hub_environment(hub, place / f"home-{who}"))
            folder = place / who
            bytes_before, requests_before = hub.bytes_sent, len(hub.requests)
            _, usage = run_measured("benchmarks.extracting", {"who": who, "models": names, "folder": str(folder)})
            rows.append(
                {
                    "who": label,
                    "models": len(names),
                    "filters": _filters(folder),
                    "seconds": usage.seconds,
                    "cpu": usage.cpu_seconds,
                    "bytes": hub.bytes_sent - bytes_before,
                    "requests": len(hub.requests) - requests_before,
                    "peak": usage.peak_bytes,
                    "largest": usage.peak_process_bytes,
                    "processes": usage.processes,
                    "checkpoints": size,
                }
            )
            print(f"{label}: {usage.seconds:.1f} s", flush=True)
    _same(place / "hub_timm", place / "hub_ours")
    return rows


def _filters(folder: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(file).num_rows for file in (folder / "filters").glob("*.parquet"))


def _same(theirs: Path, ours: Path) -> None:
    """The same rows, in whatever order: counted as a multiset.

    Raises:
        AssertionError: they are not.
    """
    import duckdb

    columns = ", ".join(f"w{i}" for i in range(9))
    sets = [f"(SELECT {columns} FROM read_parquet('{folder}/filters/*.parquet'))" for folder in (theirs, ours)]
    for first, second in (sets, sets[::-1]):
        with duckdb.connect() as database:
            ((extra,),) = database.execute(f"SELECT count(*) FROM ({first} EXCEPT ALL {second})").fetchall()
        assert extra == 0, f"{extra} filters are in only one of {theirs} and {ours}"


def rates(place: Path, names: Sequence[str], kinds: Sequence[str], repeats: int) -> list[Row]:
    """Rows of the ``--rate`` table; ``kinds`` of ``SAVED_AS``."""
    import timm
    import torch

    rows: list[Row] = []
    for name in names:
        torch.manual_seed(0)
        model = timm.create_model(name)
        for kind in kinds:
            checkpoint = place / name
            checkpoint.mkdir()
            file = checkpoint / ("model.safetensors" if kind == "safetensors" else "model.pt")
            SAVED_AS[kind](model, file)
            found, usage = run_measured(
                "benchmarks.extracting",
                {"who": "rate", "checkpoint": str(checkpoint), "folder": str(place / "store"), "repeats": repeats},
            )
            rows += _rate_rows(name if kind == "safetensors" else f"{name} as {kind}", found, usage.peak_bytes)
            shutil.rmtree(checkpoint)
    return rows


def _save_safetensors(model: Any, file: Path) -> None:
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)


def _save_state_dict(model: Any, file: Path) -> None:
    import torch

    torch.save(model.state_dict(), file)


def _save_module(model: Any, file: Path) -> None:
    import torch

    torch.save(model, file)


#: What ``--saved-as`` makes of a model.
SAVED_AS = {"safetensors": _save_safetensors, "state_dict": _save_state_dict, "module": _save_module}


def _rate_rows(name: str, found: dict[str, Any], peak: int) -> list[Row]:
    each = 1e9 / found["rows"]
    label = f"{name} ({found['rows'] * 36 / 1e6:,.0f} MB of 3x3)"
    rows: list[Row] = [
        {
            "model": label,
            "what": "ours, all of it",
            "ns": found["cpu"] * each,
            "wall_ns": found["wall"] * each,
            "rows": found["rows"],
            "peak": peak,
        }
    ]
    rows += [{"model": label, "what": f"  {stage}", "ns": seconds * each} for stage, seconds in found["stages"].items()]
    rest = found["cpu"] - sum(found["stages"].values())
    rows.append({"model": label, "what": "  writing, planning, the rest", "ns": rest * each})
    for what, (cpu, wall) in found["bare"].items():
        rows.append(
            {
                "model": label,
                "what": what,
                "ns": cpu * each,
                "wall_ns": wall * each,
                "share": cpu / found["cpu"],
                "without": cpu / (found["cpu"] - found["stages"]["orthogonality"]),
            }
        )
    return rows


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What docs/benchmarks.md promises."""
    if "share" in rows[-1] or "ns" in rows[0]:
        return [
            Goal(
                f"{row['model']}: {row['share']:.0%} of the rate of '{row['what']}' (goal 50 %), "
                f"{row['without']:.0%} without orthogonality",
                row["share"] >= 0.5,
            )
            for row in rows
            if "share" in row
        ]
    theirs, ours = rows
    text = (
        f"ours takes {ours['seconds'] / theirs['seconds']:.2f} of the time, "
        f"{ours['bytes'] / theirs['bytes']:.2f} of the bytes and {ours['peak'] / theirs['peak']:.2f} of the memory"
    )
    return [Goal(text, ours["bytes"] < theirs["bytes"])]


def _draw_hub(figure: Any, rows: Sequence[Row]) -> None:
    panels = figure.subplots(1, 3)
    whats = (("seconds", "wall, s", 1.0), ("bytes", "fetched, MB", 1e6), ("peak", "peak memory, MB", 1e6))
    for panel, (key, title, unit) in zip(panels, whats, strict=True):
        values = [row[key] / unit for row in rows]
        panel.bar(["timm + loop", "ours"], values, color=["#cc6677", "#4477aa"])
        for place, value in enumerate(values):
            panel.text(place, value, f"{value:,.4g}", ha="center", va="bottom", fontsize=8)
        panel.set_title(title, loc="left")
        panel.spines[["top", "right"]].set_visible(False)


def _draw_rate(figure: Any, rows: Sequence[Row]) -> None:
    first = [row for row in rows if row["model"] == rows[0]["model"]]
    bars(figure, first, lambda row: str(row["what"]), "ns", f"CPU ns per filter, {rows[0]['model']}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extract", description=__doc__)
    parser.add_argument("--rate", action="store_true", help="one large local model against a bare pyarrow loop")
    parser.add_argument("--models", nargs="+", help="timm names: with tags, or with --rate architectures")
    parser.add_argument("--saved-as", nargs="+", choices=SAVED_AS, default=["safetensors"], help="of --rate")
    parser.add_argument("--repeats", type=int, default=3, help="of --rate: the best counts")
    parser.add_argument(
        "--folder", type=made_folder, help="where checkpoints are made and deleted; default: a temporary folder"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="extract-") as place:
        if given.rate:
            rows = rates(Path(place), given.models or LARGE, given.saved_as, given.repeats)
            finish("extract_rate", given.out, rows, RATE_COLUMNS, _draw_rate, goals(rows))
        else:
            rows = compare(Path(place), given.models or MODELS)
            finish("extract", given.out, rows, HUB_COLUMNS, _draw_hub, goals(rows))


if __name__ == "__main__":
    main()
