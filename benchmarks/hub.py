"""Benchmark 5: the Hub at scale, against a Hub on loopback that counts, redirects, refuses and fails.

    python -m benchmarks.hub models    what a model costs, against hf_hub_download
    python -m benchmarks.hub faults    what becomes of every layout under every fault
    python -m benchmarks.hub listing   requests of listing 200 and 10 000 repositories: first, killed, again
    python -m benchmarks.hub many      1 000 small repositories through 4 actors within the Hub's budget

The server is a process of its own, its CDN another port. All models have random weights, timm's are saved by timm.
``fetched`` and ``requests`` are the server's count; ``ratio`` is fetched bytes to bytes of 3x3 weights.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, made_folder, run_measured
from benchmarks.output import Column, Goal, Row, bars, finish, number

#: timm's tags of a spread of architectures.
MODELS = (
    "resnet18.a1_in1k",
    "resnet50.a1_in1k",
    "convnext_tiny.in12k",
    "vit_tiny_patch16_224.augreg_in21k",
    "mobilenetv3_large_100.ra_in1k",
    "densenet121.ra_in1k",
    "efficientnet_b0.ra_in1k",
    "regnety_032.ra_in1k",
)

_ASKED = ("api", "resolve", "cache", "cdn")
megabytes = number(2)

MODEL_COLUMNS = (
    Column("model", "model"),
    Column("size", "file, MB", megabytes),
    Column("payload", "3x3, MB", megabytes),
    Column("fetched", "fetched, MB", megabytes),
    Column("ratio", "ratio", number(2)),
    Column("requests", "api+resolve+small+cdn"),
    Column("seconds", "s", number(2)),
    Column("their_fetched", "hf_hub_download: MB", megabytes),
    Column("their_requests", "requests"),
    Column("their_seconds", "s", number(2)),
    Column("outcome", "outcome"),
)
FAULT_COLUMNS = (
    Column("fault", "fault"),
    Column("outcome", "outcome of 10 models"),
    Column("equal", "what is stored is equal"),
    Column("requests", "requests more", number(0)),
    Column("bytes", "bytes more", number(0)),
    Column("second", "second run"),
)
LISTING_COLUMNS = (
    Column("repositories", "repositories", number(0)),
    Column("run", "run"),
    Column("listed", "listed", number(0)),
    Column("api", "API requests", number(0)),
    Column("resolve", "resolves", number(0)),
    Column("megabytes", "MB", megabytes),
    Column("first", "first part, s", number(2)),
    Column("seconds", "s", number(1)),
)
MANY_COLUMNS = (
    Column("repositories", "repositories", number(0)),
    Column("actors", "actors", number(0)),
    Column("quota", "quota a window"),
    Column("run", "run"),
    Column("api", "API", number(0)),
    Column("resolve", "resolves", number(0)),
    Column("cdn", "CDN", number(0)),
    Column("refused", "429", number(0)),
    Column("stored", "stored", number(0)),
    Column("seconds", "wall, s", number(1)),
    Column("floor", "budget's floor, s", number(1)),
)


def counts_text(counts: dict[str, int]) -> str:
    """Requests of each kind: ``1+1+0+2``."""
    return "+".join(str(counts.get(kind, 0)) for kind in _ASKED)


def models(place: Path, names: Sequence[str]) -> list[Row]:
    """Rows of the table of models: timm's, and the layouts beside a lone safetensors file."""
    from tests.distributed.hub import repositories
    from tests.distributed.hub.stored import num_filters
    from tests.hub import hub_environment
    from tests.hub.process import hub_process

    root = place / "hub"
    for name in names:
        repositories.timm_model(root, name, True)
    repositories.timm_bin(root, "resnet18", zipped=True)
    repositories.timm_bin(root, "resnet18", zipped=False)
    repositories.timm_bin(root, "vit_tiny_patch16_224", zipped=True)
    repositories.shards(root)
    rows: list[Row] = []
    with hub_process(root, cdn=True, resolve_cache=True) as hub:
        os.environ.update(hub_environment(hub, place / "home"))
        for folder in sorted(path for path in root.glob("*/*") if path.is_dir()):
            repo = folder.relative_to(root).as_posix()
            hub.warm(repo)  # the server's digests are computed before the clock runs
            hub.forget()
            store, scratch = place / "stores" / repo, str(place / "scratch")
            ours, _ = run_measured(
                "benchmarks.hub_runs", {"who": "extract_one", "repo": repo, "store": str(store), "scratch": scratch}
            )
            counts = hub.counts()
            hub.forget()
            theirs, _ = run_measured(
                "benchmarks.hub_runs",
                {"who": "download", "repo": repo, "files": ours["files"], "scratch": str(place / "cache" / repo)},
            )
            payload = num_filters(store) * 36
            rows.append(
                {
                    "model": repo,
                    "size": ours["size"] / 1e6,
                    "payload": payload / 1e6,
                    "fetched": counts["bytes"] / 1e6,
                    "ratio": counts["bytes"] / payload if payload else None,
                    "requests": counts_text(counts),
                    "cdn": counts.get("cdn", 0),
                    "resolve": counts.get("resolve", 0),
                    "seconds": ours["seconds"],
                    "their_fetched": hub.counts()["bytes"] / 1e6,
                    "their_requests": counts_text(hub.counts()),
                    "their_seconds": theirs["seconds"],
                    "outcome": ours["kind"],
                }
            )
            print(f"{repo}: {counts_text(counts)} requests, {counts['bytes']:,} bytes", flush=True)
    return rows


def model_goals(rows: Sequence[Row]) -> list[Goal]:
    """Ratio and requests of DenseNet-121."""
    found = []
    for row in rows:
        if "densenet" in row["model"]:
            text = f"{row['model']}: {row['cdn']} ranges at {row['ratio']:.2f}x (goal: at most 8 at 1.06x)"
            found.append(Goal(text, row["cdn"] <= 8 and row["ratio"] <= 1.06))
    return found


def fault_rows(place: Path) -> list[Row]:
    """Rows of the table of faults."""
    from tests.distributed.hub.repositories import LAYOUTS
    from tests.hub import hub_environment
    from tests.hub.process import hub_process

    root = place / "hub"
    for write in LAYOUTS:
        write(root)
    with hub_process(root) as hub:
        os.environ.update(hub_environment(hub, place / "home") | {"HF_HUB_DOWNLOAD_TIMEOUT": "2"})
        given = {"who": "faults", "control": hub.control, "place": str(place / "stores")}
        found, _ = run_measured("benchmarks.hub_runs", given)
    rows: list[Row] = found["rows"]
    return rows


def fault_goals(rows: Sequence[Row]) -> list[Goal]:
    """Nothing lost, nothing worse."""
    wrong = [row["fault"] for row in rows if not row["equal"] or row["second"] == "NOT COMPLETED"]
    lost = [row["fault"] for row in rows if "failed" in row["outcome"].replace("failed for now", "")]
    return [Goal(f"{len(rows)} faults: {len(wrong)} stored something else, {len(lost)} lost a model", not wrong + lost)]


def listing(place: Path, sizes: Sequence[int]) -> list[Row]:
    """Rows of the table of listings."""
    from tests.hub import hub_environment
    from tests.hub.process import hub_process

    rows: list[Row] = []
    (place / "hub").mkdir()
    # A server that says nothing of its quota would be asked within the Hub's documented one: hours for the larger size.
    ample = {"api": 10**6, "resolve": 10**6, "window": 300}
    with hub_process(place / "hub", cdn=True, resolve_cache=True, quotas=ample) as hub:
        os.environ.update(hub_environment(hub, place / "home"))
        for size in sizes:
            hub.set(tiny=size)
            hub.warm("many/net-00000")
            for run, store, stop in (
                ("first", "whole", None),
                ("second", "whole", None),
                ("killed in the middle", "killed", size // 2),
                ("after it", "killed", None),
            ):
                hub.forget()
                given = {"who": "list_all", "author": "many", "store": str(place / f"{store}-{size}"), "stop": stop}
                found, _ = run_measured("benchmarks.hub_runs", given)
                counts = hub.counts()
                kept = {"api": counts.get("api", 0), "resolve": counts.get("resolve", 0)}
                rows.append({"repositories": size, "run": run, "megabytes": counts["bytes"] / 1e6, **kept, **found})
    return rows


def listing_goals(rows: Sequence[Row]) -> list[Goal]:
    """A request a repository that is new, pages alone for what is known."""
    found = []
    for row in rows:
        pages = math.ceil(row["repositories"] / 1000)
        if row["run"] in ("first", "second"):
            most = pages + (row["repositories"] if row["run"] == "first" else 0)
            text = f"{row['repositories']:,} repositories, {row['run']}: {row['api']:,} API requests (goal {most:,})"
            found.append(Goal(text, row["api"] + row["resolve"] <= most))
    return found


def many(place: Path, repositories: int, actors: int, quotas: dict[str, Any]) -> list[Row]:
    """Rows of the table of small repositories: a first and a second run."""
    from tests.distributed.hub.stored import num_filters
    from tests.hub import hub_environment
    from tests.hub.process import hub_process

    rows: list[Row] = []
    (place / "hub").mkdir()
    with hub_process(place / "hub", cdn=True, resolve_cache=True, tiny=repositories) as hub:
        os.environ.update(hub_environment(hub, place / "home"))
        hub.warm("many/net-00000")
        for run in ("first", "second"):
            hub.forget()
            hub.set(quotas=quotas)
            given = {"who": "extract_many", "author": "many", "store": str(place / "store"), "actors": actors}
            found, _ = run_measured("benchmarks.hub_runs", given)
            counts = hub.counts()
            windows = max(math.ceil(counts.get(kind, 0) / quotas[kind]) for kind in ("api", "resolve"))
            rows.append(
                {
                    "repositories": repositories,
                    "actors": actors,
                    "quota": f"{quotas['api']} API, {quotas['resolve']} resolves in {quotas['window']} s",
                    "run": run,
                    **{kind: counts.get(kind, 0) for kind in ("api", "resolve", "cdn")},
                    "refused": counts["429"],
                    "stored": num_filters(place / "store") // 88,
                    "seconds": found["seconds"],
                    "floor": max(0, windows - 1) * quotas["window"],
                }
            )
    return rows


def many_goals(rows: Sequence[Row]) -> list[Goal]:
    """No refusal, nothing missing."""
    refused, missing = sum(row["refused"] for row in rows), rows[0]["repositories"] - rows[0]["stored"]
    return [Goal(f"{refused} answers of 429 (goal 0), {missing} models missing", refused == missing == 0)]


def _draw(label: str, value: str, title: str) -> Callable[[Any, Sequence[Row]], None]:
    return lambda figure, rows: bars(figure, rows, lambda row: str(row[label]), value, title)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub", description=__doc__)
    parser.add_argument("what", choices=["models", "faults", "listing", "many"])
    parser.add_argument("--models", nargs="+", default=MODELS, help="timm names with tags")
    parser.add_argument("--sizes", nargs="+", type=int, default=[200, 10_000], help="repositories to list")
    parser.add_argument("--repositories", type=int, default=1000, help="of many")
    parser.add_argument("--actors", type=int, default=4)
    parser.add_argument("--api", type=int, default=100, help="requests to the API in a window")
    parser.add_argument("--resolve", type=int, default=300, help="requests for addresses in a window")
    parser.add_argument("--window", type=float, default=5.0, help="seconds")
    parser.add_argument("--folder", type=made_folder, help="where models are made and deleted; default: temporary")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="hub-") as folder:
        place = Path(folder)
        if given.what == "models":
            rows = models(place, given.models)
            drawn = _draw("model", "fetched", "fetched, MB")
            finish("hub_models", given.out, rows, MODEL_COLUMNS, drawn, model_goals(rows))
        elif given.what == "faults":
            rows = fault_rows(place)
            drawn = _draw("fault", "requests", "requests more than undisturbed")
            finish("hub_faults", given.out, rows, FAULT_COLUMNS, drawn, fault_goals(rows))
        elif given.what == "listing":
            rows = listing(place, given.sizes)
            drawn = _draw("run", "api", "API requests")
            finish("hub_listing", given.out, rows, LISTING_COLUMNS, drawn, listing_goals(rows))
        else:
            quotas = {"api": given.api, "resolve": given.resolve, "window": given.window}
            rows = many(place, given.repositories, given.actors, quotas)
            finish("hub_many", given.out, rows, MANY_COLUMNS, _draw("run", "seconds", "wall, s"), many_goals(rows))


if __name__ == "__main__":
    main()
