"""Make the numbers and pictures of docs/results.md again: python docs/make_results.py [samples] [checkpoints] [family]

Extracts both stores into a temporary folder, runs every analysis command on them as a user does, writes the tables
between the markers of the page and the pictures it shows. The prose between them is written by hand, after looking.
``family`` makes the pictures of lineages in docs/evidence.md, of a sample model and what descends from it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from analysis import api  # noqa: E402
from distributed.errors import UserError  # noqa: E402

PAGE = REPOSITORY / "docs" / "results.md"
IMAGES = REPOSITORY / "docs" / "images"

#: Colours of a kept picture: one of these is within 12 of 255 of each that was there, at a third of the bytes.
COLOURS = 256


@dataclass(frozen=True, slots=True)
class Subject:
    """One store.

    Attributes:
        name: in markers and file names.
        source: overrides of the extraction.
        compared: ``model=…`` of the comparison.
        layers: which layers' densities are drawn.
        pictures: of its results folder, those that the page shows.
    """

    name: str
    source: tuple[str, ...]
    compared: str
    layers: str
    pictures: tuple[str, ...]


CHECKPOINTS = REPOSITORY.parent / "shared" / "checkpoints"

SUBJECTS = {
    "checkpoints": Subject(
        "checkpoints",
        ("source=local", f"source.path={CHECKPOINTS}"),
        str(CHECKPOINTS / "resnet20-12fca82f.th"),
        "layer_num_filters >= 2048",
        (
            "shift/shift_task.png",
            "shift/shift_depth.png",
            "structure/eigenfilters_task.png",
            "structure/symmetry_task.png",  # of docs/evidence.md
            "quality/quality_by_depth.png",
            "coefficients/ridges_task.png",
            "compare/groups.png",
            "partition/partition.png",
        ),
    ),
    "samples": Subject(
        "samples",
        ("source=sample",),
        "sample:digits-resnet",
        "layer_num_filters >= 2048",
        (
            *("shift/shift_task.png", "structure/eigenfilters_task.png", "quality/quality_by_depth.png", "report.png"),
            # Of docs/evidence.md:
            *("verdicts/shift_depth.png", "untrained/shift_model.png", "quality/untrained_by_size.png"),
            "structure/symmetry_task.png",
        ),
    ),
}

AXES = ("task", "visual_category", "depth")


def run(*arguments: str) -> None:
    """A command of ours, as a user runs it; its own error ends this."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}
    subprocess.run([sys.executable, *arguments], env=environment, cwd=REPOSITORY, check=True)


def measure(subject: Subject, folder: Path) -> None:
    """Extract ``subject`` into ``folder/store`` and leave every command's results beside it."""
    store, axes = f"store.uri={folder / 'store'}", f"axes=[{','.join(AXES)}]"
    run("launch/extract.py", *subject.source, store, "extract.progress=plain")
    run("-m", "analysis.shift", store, axes, f"out={folder / 'shift'}")
    run("-m", "analysis.shift", store, "axes=[depth]", "margin=0.02", "adjust=max", f"out={folder / 'verdicts'}")
    run("-m", "analysis.shift", store, "axes=[model]", "baseline=[normal,uniform]", f"out={folder / 'untrained'}")
    run("-m", "analysis.structure", store, axes, f"out={folder / 'structure'}")
    run("-m", "analysis.quality", store, "axes=[task,visual_category]", f"out={folder / 'quality'}")
    pairs = "pairs=[[1,2],[3,4]]"
    run("-m", "analysis.coefficients", store, axes, pairs, f"layers={subject.layers}", f"out={folder / 'coefficients'}")
    run("-m", "analysis.compare", store, f"model={subject.compared}", f"out={folder / 'compare'}")
    run("-m", "analysis.partition", store, "factors=[task,visual_category]", f"out={folder / 'partition'}")
    run("-m", "analysis.report", store, axes, f"out={folder / 'report'}")


def markdown(frame: pd.DataFrame) -> str:
    """A table; numbers come as text."""
    rows = [frame.columns.tolist(), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def tables(folder: Path) -> dict[str, str]:
    """Name of each table of one store → markdown."""
    store = folder / "store"
    layers = api.quality(store)
    known = api.models(store)
    different = layers["model_id"].nunique()
    models = f"{len(known)} models" + (f" ({different} different ones)" if different < len(known) else "")
    extent = f"{models}, {len(layers)} layers, {layers['num_filters'].sum():,} 3x3 filters"
    page = folder / "report" / "index.html"
    return {
        "extent": f"{extent}; measured {datetime.now(UTC):%Y-%m-%d}; report {page.stat().st_size / 1e6:.1f} MB",
        "drift": markdown(_drift(api.shift(store, AXES))),
        "structure": markdown(_structure(api.structure(store, "task"))),
        "quality": markdown(_quality(folder / "quality")),
        "coefficients": markdown(_looks(pd.read_csv(folder / "coefficients" / "phenotypes_layer.csv"))),
        "compare": markdown(_nearest(pd.read_csv(folder / "compare" / "nearest.csv"))),
    }


def _drift(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row per axis."""
    rows = []
    for axis, mine in pairs[pairs["a"] < pairs["b"]].groupby("axis", sort=False):
        largest = mine.loc[mine["drift"].idxmax()]
        interval = "no interval"
        if pd.notna(largest["drift_lo"]):
            interval = f"{largest['drift_lo']:.3f} … {largest['drift_hi']:.3f}"
        rows.append(
            {
                "axis": axis,
                "pairs": len(mine),
                "of fewer than 3 models": mine["few_models"].sum(),
                "median D": f"{mine['drift'].median():.3f}",
                "mean D": f"{mine['drift'].mean():.3f}",
                "largest D": f"{largest['drift']:.3f} ({interval})",
                "between": f"{largest['a']} and {largest['b']}",
                "smallest p": f"{mine['p_value'].min():.3f}",
                "smallest q": f"{mine['q_value'].min():.3f}",
                "q ≤ 0.05": (mine["q_value"] <= 0.05).sum(),
            }
        )
    return pd.DataFrame(rows)


def _structure(components: pd.DataFrame) -> pd.DataFrame:
    shares = components.pivot(index="label", columns="component", values="explained_variance_ratio")
    shown = (100 * shares).map("{:.1f}".format).reset_index().rename(columns={"label": "share of variance, %"})
    shown.columns = [str(name) for name in shown.columns]
    first = components[components["component"] == 1].set_index("label")["store_cosine"]
    shown["first: cosine to the store's"] = first.reindex(shares.index).map("{:.2f}".format).to_numpy()
    return shown


def _quality(folder: Path) -> pd.DataFrame:
    """All layers, then a row per task: medians as the command gives them, and layers that are degenerate."""
    whole = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
    medians = pd.read_csv(folder / "quality_task.csv").pivot(index="group", columns="metric", values="median")
    kinds = pd.read_csv(folder / "degenerate_task.csv").set_index("group")
    medians.loc["all"] = {metric: values["median"] for metric, values in whole["metrics"].items()}
    kinds.loc["all"] = {**whole["degenerate"], "models": whole["models"], "layers": whole["layers"]}
    return pd.DataFrame(
        {
            "task": task,
            "models": int(kinds.loc[task, "models"]),
            "layers": int(kinds.loc[task, "layers"]),
            "entropy / T(n)": f"{row['variance_entropy_normalized']:.3f}",
            "sparsity": f"{row['sparsity']:.3f}",
            "orthogonality": f"{row['orthogonality']:.3f}",
            "norm": f"{row['norm_mean']:.3f}",
            "random": int(kinds.loc[task, "random_layers"]),
            "collapsed": int(kinds.loc[task, "collapsed_layers"]),
            "all zero": int(kinds.loc[task, "all_zero_layers"]),
        }
        for task, row in medians.iterrows()
    )


def _looks(looks: pd.DataFrame) -> pd.DataFrame:
    names = looks["first"].astype(str) + " and " + looks["second"].astype(str)
    counts = looks.assign(components=names).groupby(["components", "phenotype"]).size().unstack(fill_value=0)
    return counts.reset_index()


def _nearest(nearest: pd.DataFrame) -> pd.DataFrame:
    shown = nearest.head(5)[["rank", "model", "drift", "task", "visual_category"]]
    return shown.assign(drift=shown["drift"].map("{:.4f}".format))


def picture_of_page(page: Path, target: Path) -> None:
    """A report as a reader sees it who has come to the drift matrices, in the Chromium of this machine.

    Raises:
        UserError: there is none.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise UserError("no Chromium to look at the report with: apt-get install chromium")
    with sync_playwright() as playwright:
        # No sandbox: containers give a process no namespaces of its own; the page is ours.
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = window.new_page(viewport={"width": 1180, "height": 1150})
        tab.goto(page.as_uri())
        tab.locator(".card", has=tab.get_by_role("heading", name="Drift by task", exact=True)).first.screenshot(
            path=target
        )
        window.close()


def keep_picture(source: Path, target: Path) -> None:
    """A copy of a picture in fewer bytes."""
    with Image.open(source) as picture:
        small = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(target, optimize=True)


def filled(text: str, subject: str, found: dict[str, str]) -> str:
    """The page with the tables of one store between their markers.

    Raises:
        ValueError: the page has no place for a table.
    """
    for name, table in found.items():
        begin, end = f"<!-- {subject} {name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{PAGE.name} has no {begin} … {end}")
        filling = f"{begin}\n{table}\n{end}".replace("\\", r"\\")
        text = pattern.sub(filling, text)
    return text


def make(names: Sequence[str]) -> None:
    """Measure these stores; the page changes only when all went well."""
    with tempfile.TemporaryDirectory(prefix="results-") as scratch:
        found = {}
        for name in names:
            measure(SUBJECTS[name], Path(scratch, name))
            found[name] = tables(Path(scratch, name))
        text = PAGE.read_text(encoding="utf-8")
        for name in names:
            text = filled(text, name, found[name])
        for name in names:
            picture_of_page(Path(scratch, name, "report", "index.html"), Path(scratch, name, "report.png"))
            for picture in SUBJECTS[name].pictures:
                keep_picture(Path(scratch, name, picture), IMAGES / f"{name}_{Path(picture).name}")
        PAGE.write_text(text, encoding="utf-8")


def make_family() -> None:
    """The pictures of ``analysis.lineage``."""
    from tests.families import family
    from tests.stores import write_store

    with tempfile.TemporaryDirectory(prefix="results-") as scratch:
        store = write_store(Path(scratch, "store"), family())
        run("-m", "analysis.lineage", f"store.uri={store}", f"out={scratch}/lineage")
        for name in ("lineage_tree.png", "lineage_cosines.png"):
            keep_picture(Path(scratch, "lineage", name), IMAGES / f"family_{name}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("stores", nargs="*", metavar="|".join(known := [*SUBJECTS, "family"]), help="default: all")
    asked = parser.parse_args().stores or known
    if wrong := [name for name in asked if name not in known]:
        parser.error(f"there is no {', '.join(wrong)}; there are {', '.join(known)}")
    try:
        make([name for name in asked if name in SUBJECTS])
        if "family" in asked:
            make_family()
    except (UserError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
